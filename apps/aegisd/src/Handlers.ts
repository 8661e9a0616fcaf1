/**
 * The daemon's calls, each answered by a service.
 */
import { AegisRpcs } from "@aegis/contract"
import { Capabilities, DaemonStatus, version } from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { BackendChoice } from "@aegis/vm"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"

export const handlers = AegisRpcs.toLayer(
  Effect.gen(function* () {
    const instances = yield* Instances
    const choice = yield* BackendChoice
    const startedAt = yield* DateTime.now
    return AegisRpcs.of({
      Status: () =>
        Effect.gen(function* () {
          return new DaemonStatus({
            version,
            pid: process.pid,
            startedAt,
            verdict: yield* choice.verdict,
            capabilities: new Capabilities({ pauseResume: true, bootFromDiskLayers: true }),
            instances: (yield* instances.list).length
          })
        }),
      Backend: () => choice.verdict,
      Run: (spec) => instances.run(spec),
      WriteStdin: ({ bytes, end, id }) => instances.writeStdin(id, bytes, end),
      InstanceList: () => instances.list,
      InstanceGet: ({ target }) => instances.get(target),
      InstanceDelete: ({ target }) => instances.remove(target)
    })
  })
)
