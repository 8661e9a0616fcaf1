import { type InstanceSpec, ResourcesRefused } from "@aegis/domain"
import { Machine } from "@aegis/host"
import * as Effect from "effect/Effect"

/** Refuses what this host cannot give, before anything is made (contract D-19). */
export const checkResources = (spec: InstanceSpec): Effect.Effect<void, ResourcesRefused> =>
  Effect.gen(function* () {
    const { cpus, memoryMib } = yield* Machine.limits
    if (spec.memoryMib > memoryMib) {
      return yield* new ResourcesRefused({ resource: "memory", asked: spec.memoryMib, available: memoryMib })
    }
    const vcpus = Math.min(cpus, 8)
    if (spec.vcpus > vcpus)
      return yield* new ResourcesRefused({ resource: "cpus", asked: spec.vcpus, available: vcpus })
  })
