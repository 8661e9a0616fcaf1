/**
 * What a daemon does before it serves: it goes on with the VMs of the one before it, and brings all else to its end.
 */
import {
  ByGuest,
  ByRecovery,
  compilePolicy,
  type EndReason,
  HostLost,
  type InstanceId,
  PortsAssigned,
  StateConflict
} from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import type { InstanceRecord } from "@aegis/journal"
import { NetworkControl } from "@aegis/vm"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Ending } from "./Ending.ts"
import type { Execs } from "./Execs.ts"
import { Action } from "./Lifecycle.ts"
import { clearOrphans } from "./Orphans.ts"
import { recordFlows } from "./Networks.ts"
import type { Parts } from "./Parts.ts"
import { adoptRecorded, directoriesOf, endOfLost, mayBeAdopted } from "./Vms.ts"

/**
 * What a harness whose VM is seen to run may take to answer before the daemon serves without having heard of it: many guests that
 * wake up at once on a small machine, or one that hangs, are not to keep everybody else waiting.
 */
const answerLimit = "300 millis"

export const make = (
  { act, live, logs, ports, records, workspaces, writeEnd }: Parts,
  { removeId }: Ending,
  execs: Execs
) => {
  const recover = Effect.gen(function* () {
    const paths = yield* AegisPaths
    yield* records.repair
    const all = yield* records.list({ states: ["starting", "running", "paused"] })
    yield* clearOrphans(paths.run, directoriesOf(all.filter(mayBeAdopted)))
    yield* Effect.forEach(yield* records.list(), openPorts, { discard: true })
    yield* Effect.forEach(all, (record) => (mayBeAdopted(record) ? adoptRecord(record) : endRecord(record)), {
      concurrency: "unbounded",
      discard: true
    })
    yield* Effect.forEach(yield* records.list({ ephemeral: true }), ({ id }) =>
      Effect.ignoreLogged(removeId(id, new ByRecovery({ found: "the client that had asked for it is gone" })))
    )
    yield* workspaces.sweep(yield* records.ids)
  }).pipe(Effect.withSpan("Instances.recover"))

  /** Takes an instance's ports again; one that somebody else has by now is another from now on, and its log says so (D-14). */
  const openPorts = ({ id, ports: before, spec }: InstanceRecord) =>
    Effect.gen(function* () {
      if (spec.exposes.length === 0) return
      const { bindings, lost } = yield* ports.open(id, spec.exposes, before)
      if (lost.length === 0 && bindings.length === before.length) return
      yield* records.update(id, new ByRecovery({ found: "a port was taken" }), [new PortsAssigned({ ports: bindings })])
      yield* Effect.scoped(
        Effect.flatMap(logs.open(id), (log) =>
          Effect.forEach(lost, ({ from, to }) =>
            log.system(`port ${from.host} of this machine is taken: port ${to.host} leads to port ${to.guest} now`)
          )
        )
      )
    }).pipe(Effect.catchAll((error) => Effect.logWarning(`the ports of ${id}: ${error.message}`)))

  const endRecord = (record: InstanceRecord) =>
    writeEnd(record.id, new ByRecovery({ found: "its daemon had died" }))(
      new HostLost({ reason: "the daemon died while it was starting" }),
      Duration.infinity
    )

  const adoptRecord = (record: InstanceRecord) =>
    Effect.gen(function* () {
      const { id, spec, vm } = record
      if (vm === undefined) return yield* endRecord(record)
      const found = yield* Deferred.make<void>()
      const begun = yield* live({
        id,
        spec,
        runsAlready: true,
        begin: () =>
          Effect.gen(function* () {
            const adopted = yield* adoptRecorded(vm, Deferred.succeed(found, undefined))
            const cause = new ByRecovery({ found: "its VM ran on" })
            yield* act(id, cause, Action.Adopt({ vm, paused: adopted.paused })).pipe(
              Effect.catchTags({ NotFound: Effect.die, NotNow: Effect.die })
            )
            const { network } = adopted.vm
            if (network !== undefined) {
              // It may have been changed in the moment when the daemon died.
              yield* Effect.ignoreLogged(NetworkControl.setPolicy(network.controlSocket, compilePolicy(spec.network)))
              yield* recordFlows(records, id, adopted.vm)
            }
            return {
              vm: adopted.vm,
              after: yield* logs.lastGuestSeq(id),
              bootMillis: undefined
            }
          }).pipe(
            Effect.catchTag("NotAdopted", (cause) =>
              Effect.zipRight(
                Effect.sync(() => lost.set(id, endOfLost(cause))),
                new StateConflict({ target: id, state: "gone", remedy: "" })
              )
            )
          ),
        started: () => Effect.void,
        output: () => Effect.void,
        end: (reason, lived) =>
          Effect.suspend(() => {
            const ended = lost.get(id)
            lost.delete(id)
            return ended === undefined
              ? writeEnd(id, new ByGuest())(reason, lived)
              : writeEnd(id, new ByRecovery({ found: "its daemon had died" }))(ended, Duration.infinity)
          })
      })
      const settled = yield* execs.adopt(begun, record.handle ?? id)
      // Who serves next finds every instance in a state that is true: its VM is gone, and its end written down, or it lives.
      yield* Effect.raceFirst(Effect.zipRight(Deferred.await(found), Effect.sleep(answerLimit)), Fiber.await(settled))
    })
  /** What became of a VM that could not be adopted: more than that its start failed. */
  const lost = new Map<InstanceId, EndReason>()

  return recover
}
