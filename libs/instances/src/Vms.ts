/**
 * How a VM comes up: booted for its instance, or taken over from an earlier daemon; and what is written down of it.
 */
import { HostLost, VmDied, VmRecord } from "@aegis/domain"
import type { InstanceRecord } from "@aegis/journal"
import { adopt, NotAdopted, type Vm, VmTraces } from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

const encodeTraces = Schema.encodeSync(VmTraces)

/** What the journal keeps of a VM. A simulated one has nothing that a later daemon could find. */
export const recordOf = (vm: Vm): VmRecord =>
  new VmRecord({
    pid: vm.traces?.vmm.pid ?? 0,
    pidStartTime: vm.traces?.vmm.startTime ?? "",
    detail: vm.traces === undefined ? {} : encodeTraces(vm.traces)
  })

/** The VM that a record names, if it is still there; `found` is run when its processes are seen to run. */
export const adoptRecorded = (
  record: VmRecord,
  found: Effect.Effect<unknown>
): Effect.Effect<{ readonly vm: Vm; readonly paused: boolean }, NotAdopted, Scope.Scope> =>
  Schema.decodeUnknown(VmTraces)(record.detail).pipe(
    Effect.mapError(() => new NotAdopted({ rebooted: false, reason: "the daemon that ran it has ended" })),
    Effect.flatMap((traces) => adopt(traces, found))
  )

/** Why an instance that was alive when its daemon died is not any more. */
export const endOfLost = (cause: NotAdopted) =>
  cause.rebooted
    ? new HostLost({ reason: cause.reason })
    : new VmDied({ cause: `${cause.reason}; no daemon was there to see it`, consoleTail: "" })

/** The run directories of the VMs that these records name: they are not to be cleared away. */
export const directoriesOf = (records: ReadonlyArray<InstanceRecord>): ReadonlySet<string> =>
  new Set(
    records.flatMap(({ vm }) => {
      const traces = Schema.decodeUnknownOption(VmTraces)(vm?.detail)
      return traces._tag === "Some" ? [traces.value.directory] : []
    })
  )

/** An instance whose first start was not finished, or that a client had asked to be ephemeral, is not gone on with. */
export const mayBeAdopted = ({ spec, state, vm }: InstanceRecord): boolean =>
  !spec.ephemeral && vm !== undefined && (state === "running" || state === "paused")
