/**
 * What becomes of instances that nobody uses (D-08): paused after a while, stopped after a longer one. A connection is use, and so is
 * work of the guest's processor and traffic through its network, and a keepalive; what was looked at is written down with each decision.
 */
import { ByIdleTimer, Idle as IdleEnd, type InstanceId } from "@aegis/domain"
import type { Activity } from "@aegis/guest"
import type { InstanceRecord } from "@aegis/journal"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Ending } from "./Ending.ts"
import { endOutdated, isKept } from "./Keepalives.ts"
import { type Parts, usualGrace } from "./Parts.ts"
import type * as Pausing from "./Pausing.ts"

/** More than this part of one processor is work: a guest that only waits takes less, its clock and our asking included. */
const workingShare = 0.05

/** More than this is work as well: who only keeps connections and addresses alive sends and gets less. Bytes a second, both ways. */
const workingBytes = 1024

const seconds = (name: string, otherwise: number) =>
  Config.number(name).pipe(
    Config.validate({ message: "a number of seconds, 0 for never", validation: (value) => value >= 0 }),
    Config.withDefault(otherwise)
  )

const settings = Config.all({
  pause: seconds("AEGIS_IDLE_PAUSE", 60),
  stop: seconds("AEGIS_IDLE_STOP", 1200),
  check: seconds("AEGIS_IDLE_CHECK", 5)
})

interface Seen extends Work {
  at: number
  /** What the guest has done since it was last in use. */
  idle: Work
}

type Work = Pick<Activity, "cpuMs" | "networkBytes">

const none: Work = { cpuMs: 0, networkBytes: 0 }

/** What was done between two looks; nothing that is known where the guest counts anew. */
const between = (before: Work, now: Work): Work => ({
  cpuMs: Math.max(0, now.cpuMs - before.cpuMs),
  networkBytes: Math.max(0, now.networkBytes - before.networkBytes)
})

const sum = (a: Work, b: Work): Work => ({
  cpuMs: a.cpuMs + b.cpuMs,
  networkBytes: a.networkBytes + b.networkBytes
})

/** Whether a guest that did so much in so many milliseconds was in use. */
export const isWork = ({ cpuMs, networkBytes }: Work, millis: number): boolean =>
  cpuMs > millis * workingShare || networkBytes > (millis / 1000) * workingBytes

/** When one that nobody uses is paused, and stopped, in milliseconds; 0 is never. */
export interface IdlePolicy {
  readonly pause: number
  readonly stop: number
}

/** What becomes of an instance that has idled for so many milliseconds; nothing of one that a person has paused. */
export const idleStep = (
  { pausedBy, state }: Pick<InstanceRecord, "state" | "pausedBy">,
  policy: IdlePolicy,
  idle: number
): "pause" | "stop" | undefined => {
  if (state !== "running" && !(state === "paused" && pausedBy?._tag === "IdleTimer")) return undefined
  if (policy.stop > 0 && idle >= policy.stop) return "stop"
  return state === "running" && policy.pause > 0 && idle >= policy.pause ? "pause" : undefined
}

/** Looks at all instances now and then, for ever. */
export const make = ({ lifeOf, records, usage }: Parts, pausing: ReturnType<typeof Pausing.make>, ending: Ending) =>
  Effect.gen(function* () {
    const usual = yield* Effect.orDie(settings)
    const seen = new Map<InstanceId, Seen>()

    /** One that nothing can wake goes on, unless somebody has said otherwise. */
    const policyOf = ({ spec }: InstanceRecord): IdlePolicy => {
      const wakeable = spec.exposes.length > 0
      return {
        pause: (spec.idlePauseSeconds ?? (wakeable ? usual.pause : 0)) * 1000,
        stop: (spec.idleStopSeconds ?? (wakeable ? usual.stop : 0)) * 1000
      }
    }

    /**
     * Asks a guest how much it has worked; work is use. Says whether that is known: not at the first look, and not of a guest that has no
     * time to answer.
     */
    const look = (record: InstanceRecord) =>
      Effect.gen(function* () {
        const life = lifeOf(record.id)
        if (Option.isNone(life)) return false
        const { guest } = yield* life.value.running
        const { cpuMs, networkBytes } = yield* guest.activity
        const now = { cpuMs, networkBytes, at: yield* Clock.currentTimeMillis }
        const before = seen.get(record.id)
        const done = between(before ?? now, now)
        const working = isWork(done, now.at - (before ?? now).at)
        if (working) yield* usage.touch(record.id)
        seen.set(record.id, { ...now, idle: working ? none : sum(before?.idle ?? none, done) })
        return before !== undefined
      }).pipe(
        Effect.timeout("2 seconds"),
        Effect.orElseSucceed(() => false)
      )

    const decide = (record: InstanceRecord) =>
      Effect.gen(function* () {
        const { id } = record
        const now = yield* Clock.currentTimeMillis
        const idleOf = (at: InstanceRecord) => now - usage.lastActive(at).epochMillis
        const nextOf = (at: InstanceRecord) =>
          usage.isBusy(id) || isKept(at, now) ? undefined : idleStep(at, policyOf(at), idleOf(at))
        const next = nextOf(record)
        if (next === undefined) return
        const { cpuMs, networkBytes } = seen.get(id)?.idle ?? none
        const cause = new ByIdleTimer({
          idleSeconds: Math.round(idleOf(record) / 1000),
          evidence: `no connection and no exec since ${DateTime.formatIso(usage.lastActive(record)).replace(/\.\d+Z$/, "Z")}, ${cpuMs} ms of its processor's time and ${networkBytes} bytes through its network in between`
        })
        // Since we looked, a person may have paused it or asked to keep it, or somebody may have come.
        const unless = (at: InstanceRecord) => nextOf(at) !== next
        if (next === "stop") yield* ending.stop(id, usualGrace, cause, { reason: new IdleEnd(), unless })
        else yield* pausing.pause(id, cause, unless)
      })

    const visit = (record: InstanceRecord) =>
      Effect.gen(function* () {
        const policy = policyOf(record)
        const now = yield* Clock.currentTimeMillis
        yield* endOutdated(records, record, now)
        if (policy.pause === 0 && policy.stop === 0) return
        if (usage.isBusy(record.id) || isKept(record, now)) return yield* usage.touch(record.id)
        if (record.state !== "running" || (yield* look(record))) yield* decide(record)
      }).pipe(
        // It was used, ended or deleted in this very moment.
        Effect.catchTags({ NotFound: () => Effect.void, StateConflict: () => Effect.void }),
        Effect.catchAll((error) => Effect.logWarning(`${record.id} was not looked at: ${error.message}`))
      )

    const round = Effect.gen(function* () {
      const alive = yield* records.list({ states: ["running", "paused"], ephemeral: false })
      const ids = new Set(alive.map(({ id }) => id))
      for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id)
      yield* Effect.forEach(alive, visit, { concurrency: 4, discard: true })
    }).pipe(Effect.catchAll((error) => Effect.logWarning(`idle instances were not looked for: ${error.message}`)))

    return Effect.repeat(round, Schedule.spaced(Duration.seconds(Math.max(usual.check, 0.1))))
  })
