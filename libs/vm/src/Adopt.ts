/**
 * Going on with a VM that an earlier daemon has booted. All backends' VMs are found the same way: by their processes and their sockets.
 */
import { connect } from "@aegis/guest"
import { Directories, Machine, Process } from "@aegis/host"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { dial, watchVm } from "./AwaitGuest.ts"
import type { Vm, VmTraces } from "./VmBackend.ts"

/** The VM is not there any more, or does not answer. `rebooted`: the machine has booted since. */
export class NotAdopted extends Data.TaggedError("NotAdopted")<{
  readonly rebooted: boolean
  readonly reason: string
}> {}

/** What its harness may take to answer a daemon that comes back. */
const patience = "20 seconds"

/**
 * Takes a VM over; the scope's end ends it, as if it had been booted here. `found` is run when its processes are seen to run, before
 * its harness has answered. A VM whose process is stopped runs until it has answered, and is stopped again. Failing, it ends what was
 * left of it.
 */
export const adopt = (
  traces: VmTraces,
  found: Effect.Effect<unknown>
): Effect.Effect<{ readonly vm: Vm; readonly paused: boolean }, NotAdopted, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.addFinalizer(() => Effect.ignoreLogged(Directories.removeTree(traces.directory)))
    if (traces.bootId !== (yield* Machine.bootId)) {
      return yield* new NotAdopted({ rebooted: true, reason: "the machine has booted since" })
    }
    const take = (trace: VmTraces["vmm"]) =>
      Effect.flatMap(
        Process.adopt(trace),
        Option.match({
          onNone: () => new NotAdopted({ rebooted: false, reason: `${trace.name} is gone` }),
          onSome: Effect.succeed
        })
      )
    const vmm = yield* take(traces.vmm)
    const helpers = yield* Effect.forEach(traces.helpers, (trace) =>
      Effect.map(take(trace), (process) => ({ name: trace.name, process }))
    )
    const paused = Option.contains(yield* vmm.state, "T")
    yield* paused ? vmm.resume : found
    const gone = Effect.zipRight(vmm.exit, new NotAdopted({ rebooted: false, reason: "its process is gone" }))
    const guest = yield* connect(dial(traces.channelSocket)).pipe(
      Effect.raceFirst(gone),
      Effect.timeoutFail({
        duration: patience,
        onTimeout: () => new NotAdopted({ rebooted: false, reason: "its harness does not answer" })
      }),
      // Also when this daemon is told to go: the next one finds it as it was.
      Effect.ensuring(paused ? vmm.pause : Effect.void)
    )
    const vm: Vm = {
      guest,
      pid: vmm.pid,
      rootDevice: traces.rootDevice,
      workspaceTag: traces.workspaceTag,
      network: traces.network,
      traces,
      ended: yield* watchVm(vmm, helpers),
      // What the guest printed went to the daemon that died.
      consoleTail: Effect.succeed(""),
      pause: vmm.pause,
      resume: vmm.resume
    }
    return { vm, paused }
  }).pipe(Effect.withSpan("Vm.adopt"))
