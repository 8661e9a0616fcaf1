/**
 * The scripted daemon's lifecycle: the answers of the real one, without guests.
 */
import {
  Created,
  HandleTaken,
  Instance,
  InstanceCreated,
  InstanceDeleted,
  InstanceEnded,
  InstanceId,
  InstancePaused,
  InstancePruned,
  InstanceResumed,
  type InstanceSpec,
  Preparing,
  type RunEvent,
  Started,
  StartOutcome,
  StartRequested,
  StateConflict,
  StopRequested
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { appendFileSync } from "node:fs"
import { allGuests, drop, find, type Guest, play, playedEnd, put, watch } from "./Guests.ts"
import { steps } from "./Images.ts"
import { record } from "./Journal.ts"

let next = 1_000_000_000_000_000_000n

const make = (spec: InstanceSpec, id: InstanceId, state: "starting" | "running", createdAt: DateTime.Utc) =>
  Effect.gen(function* () {
    const { command, handle, image, memoryMib, vcpus } = spec
    const fields = { id, handle, image, state, command, memoryMib, vcpus, createdAt, lastActiveAt: createdAt }
    const input = yield* Mailbox.make<Uint8Array>()
    return { spec, instance: new Instance(fields), input, deleted: yield* Deferred.make<void>() }
  })

const changed = (guest: Guest, fields: Partial<Instance>): Guest => ({
  ...guest,
  instance: new Instance({ ...guest.instance, ...fields })
})

/** Boots it in nobody's time, plays it, and writes its end into its record. */
const boot = (guest: Guest) =>
  Effect.gen(function* () {
    // It may have been deleted, or changed, while it booted.
    const booted = yield* Effect.option(find(guest.instance.id))
    if (Option.isNone(booted)) return
    const running = changed(booted.value, { state: "running", startedAt: yield* DateTime.now })
    yield* put(running)
    const ended = yield* playedEnd(running)
    const left = yield* Effect.option(find(guest.instance.id))
    if (Option.isNone(left)) return
    yield* put(changed(left.value, { state: "stopped", stoppedAt: yield* DateTime.now, ended }))
    yield* record("guest", new InstanceEnded({ reason: ended }), guest.instance.id)
  }).pipe(Effect.delay("50 millis"), Effect.forkDaemon)

export const start = (spec: InstanceSpec) =>
  Effect.gen(function* () {
    const there = spec.handle === undefined ? Option.none() : yield* Effect.option(find(spec.handle))
    if (Option.isSome(there)) return yield* again(there.value)
    const guest = yield* make(spec, InstanceId.make(`inst-${next++}`), "starting", yield* DateTime.now)
    yield* put(guest)
    yield* record("instance start", new InstanceCreated({ spec }), guest.instance.id)
    yield* boot(guest)
    return new StartOutcome({ instance: guest.instance, restarted: false })
  })

export const restart = (handle: string) => Effect.flatMap(find(handle), again)

const again = (guest: Guest) =>
  Effect.gen(function* () {
    const { createdAt, handle = "", id, state } = guest.instance
    if (state !== "stopped") {
      const remedy = state === "paused" ? `aegis instance resume ${handle}` : `aegis instance stop ${handle}`
      return yield* new StateConflict({ target: handle, state, remedy })
    }
    const anew = yield* make(guest.spec, id, "starting", createdAt)
    yield* put(anew)
    yield* record("instance start", new StartRequested(), id)
    yield* boot(anew)
    return new StartOutcome({ instance: anew.instance, restarted: true })
  })

export const run = (spec: InstanceSpec) =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const there = spec.handle === undefined ? Option.none() : yield* Effect.option(find(spec.handle))
      if (Option.isSome(there)) {
        return yield* new HandleTaken({ handle: spec.handle ?? "", state: there.value.instance.state })
      }
      const id = InstanceId.make(`inst-${next++}`)
      const guest = yield* make(spec, id, "running", yield* DateTime.now)
      yield* Effect.acquireRelease(put(guest), () => drop(guest))
      const pulled = spec.image === "pulled:1" ? steps("pulled:1").map((progress) => new Preparing({ progress })) : []
      return Stream.concat(
        Stream.fromIterable<RunEvent>([new Created({ id }), ...pulled, new Started({ bootMillis: 1 })]),
        play(guest)
      )
    })
  )

/** Each call is a line of the file `waits`, for a test to know that it has come. */
export const wait = (target: string) =>
  Effect.flatMap(find(target), ({ instance: { id } }) => {
    appendFileSync(`${process.env["AEGIS_HOME"]}/waits`, `${target}\n`)
    return watch.pipe(
      Stream.filter((change) => change.id === id && (change.instance?.state ?? "stopped") === "stopped"),
      Stream.runHead,
      Effect.andThen(find(id)),
      Effect.map(({ instance }) => instance)
    )
  })

export const stop = (target: string, graceSeconds = 5) =>
  Effect.gen(function* () {
    const guest = yield* find(target)
    if (guest.instance.state === "stopped") return guest.instance
    yield* record("instance stop", new StopRequested({ graceSeconds }), guest.instance.id)
    yield* Deferred.succeed(guest.deleted, undefined)
    return yield* wait(guest.instance.id)
  })

/** From one state to the other, or a conflict that names the one it is in. */
const turn = (target: string, from: "running" | "paused", to: "running" | "paused") =>
  Effect.gen(function* () {
    const guest = yield* find(target)
    const { id, state } = guest.instance
    if (state !== from) return yield* new StateConflict({ target, state, remedy: `aegis instance info ${target}` })
    const turned = changed(guest, { state: to })
    yield* put(turned)
    yield* record(`instance ${to}`, to === "paused" ? new InstancePaused() : new InstanceResumed(), id)
    return turned.instance
  })

export const pause = (target: string) => turn(target, "running", "paused")
export const resume = (target: string) => turn(target, "paused", "running")

export const remove = (target: string) =>
  Effect.gen(function* () {
    const guest = yield* find(target)
    if (guest.instance.command[0] === "stubborn") return yield* Effect.never
    yield* Deferred.succeed(guest.deleted, undefined)
    yield* drop(guest)
    yield* record("instance delete", new InstanceDeleted(), guest.instance.id)
  })

export const prune = (stoppedForSeconds: number) =>
  Effect.gen(function* () {
    const now = yield* DateTime.now
    const old = allGuests().filter(
      ({ instance: { state, stoppedAt } }) =>
        state === "stopped" && stoppedAt !== undefined && DateTime.distance(stoppedAt, now) >= stoppedForSeconds * 1000
    )
    yield* Effect.forEach(old, (guest) =>
      Effect.andThen(
        drop(guest),
        record("instance prune", new InstancePruned({ stoppedForSeconds }), guest.instance.id)
      )
    )
    return old.map(({ instance: { id } }) => id)
  })
