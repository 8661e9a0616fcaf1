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
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
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

/** What it may take to look for all VMs before the first of their guests is asked. */
const searchLimit = "2 seconds"

/** Guests that are asked at a time: those who come to a daemon that has just begun to serve are not to wait for all of them. */
const askedAtOnce = 4

/** After which the next one is asked, whatever this one does. */
const turnLimit = "1 second"

export const make = (
  { act, live, logs, ports, records, workspaces, writeEnd }: Parts,
  { removeId }: Ending,
  execs: Execs
) => {
  const recover = Effect.gen(function* () {
    const paths = yield* AegisPaths
    const { records: all, unreadable } = yield* records.repair
    yield* Effect.forEach(unreadable, (id) =>
      Effect.logWarning(
        `the record of ${id} cannot be read, nor made anew from its events: aegis instance delete ${id}`
      )
    )
    const alive = all.filter(({ state }) => state !== "stopped")
    const adoptable = alive.filter(mayBeAdopted)
    yield* clearOrphans(paths.run, directoriesOf(adoptable))
    yield* Effect.forEach(all, openPorts, { discard: true })
    const ask = yield* turns(adoptable.filter(({ state }) => state === "running").length)
    yield* Effect.forEach(alive, (record) => (mayBeAdopted(record) ? adoptRecord(record, ask) : endRecord(record)), {
      concurrency: "unbounded",
      discard: true
    })
    const ephemeral = all.filter(({ spec }) => spec.ephemeral)
    yield* Effect.forEach(ephemeral, ({ id }) =>
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

  /** For so many VMs: `looked` when one is found or seen to be gone; `turn` waits until that is known of all, then for a place, which the scope holds. */
  const turns = (searched: number) =>
    Effect.gen(function* () {
      const free = yield* Effect.makeSemaphore(askedAtOnce)
      const all = yield* Deferred.make<void>()
      let missing = searched
      const looked = Effect.suspend(() => {
        missing -= 1
        return missing <= 0 ? Deferred.succeed(all, undefined) : Effect.void
      })
      const turn = Effect.gen(function* () {
        yield* Effect.timeoutOption(Deferred.await(all), searchLimit)
        yield* Effect.uninterruptibleMask((restore) =>
          Effect.zipRight(
            restore(free.take(1)),
            Effect.addFinalizer(() => free.release(1))
          )
        )
      })
      return { looked, turn }
    })

  const adoptRecord = (record: InstanceRecord, ask: Effect.Effect.Success<ReturnType<typeof turns>>) =>
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
            const turn = yield* Scope.make()
            const over = Scope.close(turn, Exit.void)
            const whenFound = Effect.gen(function* () {
              yield* Deferred.succeed(found, undefined)
              yield* ask.looked
              yield* Scope.extend(ask.turn, turn)
              yield* Effect.forkIn(Effect.delay(over, turnLimit), turn)
            })
            const adopted = yield* Effect.ensuring(adoptRecorded(vm, whenFound), over)
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
                Effect.zipRight(
                  Effect.unlessEffect(ask.looked, Deferred.isDone(found)),
                  Effect.sync(() => lost.set(id, endOfLost(cause)))
                ),
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
