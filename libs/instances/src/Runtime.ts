/**
 * `Instances` over the journal, the log store and the backends. State changes of one instance come one after the other, those of
 * different ones at the same time; each is decided and written in one transaction (`Lifecycle.ts`).
 */
import { ByDaemon, DaemonStarted, DaemonStopped, InstanceSpec, StateConflict, Stopped, version } from "@aegis/domain"
import { armCrashPoints } from "@aegis/host"
import { BaseRootfs, ImageStore } from "@aegis/images"
import { InstanceRecords, Journal } from "@aegis/journal"
import { LogStore } from "@aegis/logs"
import { PortListeners } from "@aegis/router"
import { Vault } from "@aegis/vault"
import { BackendChoice } from "@aegis/vm"
import { Workspaces } from "@aegis/workspaces"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { availableParallelism } from "node:os"
import { guardDisks } from "./DiskGuard.ts"
import * as Ending from "./Ending.ts"
import * as Execs from "./Execs.ts"
import * as Exposing from "./Exposing.ts"
import * as Files from "./Files.ts"
import * as Idle from "./Idle.ts"
import type { Instances } from "./Instances.ts"
import * as Keepalives from "./Keepalives.ts"
import type { Grace, Life } from "./Life.ts"
import * as Networks from "./Networks.ts"
import * as Parts from "./Parts.ts"
import * as Pausing from "./Pausing.ts"
import * as Reaching from "./Reaching.ts"
import * as Reading from "./Reading.ts"
import { reconcile } from "./Reconcile.ts"
import * as Recovery from "./Recovery.ts"
import * as Starting from "./Starting.ts"

/** What all VMs have to end by themselves when the daemon goes, and what they have where they are many: it has to be gone after five seconds in all (S-042). */
const partingMillis = { few: 2000, many: 1000 }

/**
 * VMs that are told to end at a time. Fifty that shut down at once would take the processors from the daemon for half a minute; those whose
 * turn has not come when the time is over are killed.
 */
const partingAtOnce = 4 * availableParallelism()

/** What is left of that time: for the guest's commands, and then for the guest. */
const partingGrace = (left: number): Grace => ({
  commands: Duration.millis(0.6 * left),
  reboot: Duration.millis(0.4 * left)
})

export const make = Effect.gen(function* () {
  const context = Context.pick(
    BackendChoice,
    BaseRootfs,
    ImageStore,
    InstanceRecords,
    Journal,
    LogStore,
    PortListeners,
    Vault,
    Workspaces
  )(yield* Effect.context<Parts.Services>())
  const parts = yield* Parts.make(context)
  const { journal, lifeOf, lives, records } = parts
  const ending = Ending.make(parts)
  const starting = yield* Starting.make(parts, ending)
  const pausing = Pausing.make(parts, starting)
  const reaching = Reaching.make(parts, pausing)
  const execs = Execs.make(parts, pausing)
  const files = Files.make(parts, pausing)
  const recover = Recovery.make(parts, ending, execs)
  let leaving = false

  /** What is told of the daemon itself; the journal goes without it rather than the daemon. */
  const tell = (because: string, data: DaemonStarted | DaemonStopped) =>
    Effect.ignoreLogged(journal.append([{ cause: new ByDaemon({ because }), data }]))

  const endOne = (life: Life, grace: Grace) =>
    Effect.gen(function* () {
      const cause = new ByDaemon({ because: "it was told to stop" })
      const { id, spec } = yield* records.get(life.id)
      // The reader of a run goes with us, and may not come to removing it.
      yield* spec.ephemeral ? ending.removeId(id, cause, grace) : ending.stop(id, grace, cause)
    }).pipe(Effect.catchAll(() => life.stop(grace, new Stopped())))

  const endAll = Effect.gen(function* () {
    const allowed = lives.size > partingAtOnce ? partingMillis.many : partingMillis.few
    const end = (yield* Clock.currentTimeMillis) + allowed
    const left = Effect.map(Clock.currentTimeMillis, (now) => Math.max(0, end - now))
    const turns = yield* Effect.makeSemaphore(partingAtOnce)
    const inTurn = (life: Life) =>
      Effect.gen(function* () {
        const turn = yield* Effect.timeoutOption(Effect.interruptible(turns.take(1)), yield* left)
        yield* endOne(life, partingGrace(yield* left))
        if (Option.isSome(turn)) yield* turns.release(1)
      })
    yield* Effect.forEach([...lives.values()], (life) => (leaving ? life.leave : inTurn(life)), {
      concurrency: "unbounded",
      discard: true
    })
  })

  yield* armCrashPoints
  let recovered = false
  // Before anything is adopted: a daemon that is told to stop while it still looks around has not served anybody, and what it
  // has found is the next one's. `aegis up` ends one that takes too long.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      if (!recovered) leaving = true
      const stopped = new DaemonStopped({ keptVms: leaving ? lives.size : 0 })
      return Effect.zipRight(recovered ? tell("it was told to stop", stopped) : Effect.void, endAll)
    })
  )
  yield* recover
  yield* tell("it was told to start", new DaemonStarted({ version, pid: process.pid }))
  recovered = true
  yield* reconcile(parts)
  yield* guardDisks(parts, ending)
  yield* Effect.forkScoped(yield* Idle.make(parts, pausing, ending))

  const service: Context.Tag.Service<Instances> = {
    ...Reading.make(parts),
    ...files,
    ...Networks.make(parts),
    ...Keepalives.make(parts),
    ...Exposing.make(parts, reaching),
    start: (spec, cause) =>
      Effect.withSpan(starting.start(new InstanceSpec({ ...spec, ephemeral: false }), cause), "Instances.start"),
    restart: (target, cause) => Effect.flatMap(records.get(target), (record) => starting.restartRecord(record, cause)),
    run: (spec, cause, router) => starting.run(new InstanceSpec({ ...spec, ephemeral: true }), cause, router),
    wake: pausing.wake,
    connect: (id, port, cause, options) =>
      Effect.withSpan(reaching.connect(id, port, cause, options), "Instances.connect"),
    reuse: reaching.reuse,
    countUse: reaching.count,
    writeStdin: (id, bytes, end) =>
      Option.match(lifeOf(id), {
        onNone: () =>
          Effect.flatMap(
            records.get(id),
            ({ state }) => new StateConflict({ target: id, state, remedy: "it takes input while it runs" })
          ),
        onSome: (life) => life.writeStdin(bytes, end)
      }),
    exec: execs.exec,
    attachExec: execs.attach,
    writeExec: execs.writeExec,
    resizeExec: execs.resizeExec,
    signalExec: execs.signalExec,
    stop: (target, grace, cause) => ending.stop(target, { ...Parts.usualGrace, commands: grace }, cause),
    pause: (target, cause) => Effect.withSpan(pausing.pause(target, cause), "Instances.pause"),
    resume: (target, cause) => Effect.withSpan(pausing.resume(target, cause), "Instances.resume"),
    remove: (target, cause) => Effect.flatMap(records.get(target), ({ id }) => ending.removeId(id, cause)),
    prune: ending.prune,
    leave: Effect.sync(() => {
      leaving = true
      return lives.size
    })
  }
  return service
})
