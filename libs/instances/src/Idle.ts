/**
 * What becomes of instances that nobody uses (D-08): paused after a while, stopped after a longer one. A connection is use, and so is
 * work of the guest's processor; what was looked at is written down with each decision.
 */
import { ByIdleTimer, Idle as IdleEnd, type InstanceId } from "@aegis/domain"
import type { InstanceRecord } from "@aegis/journal"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Ending } from "./Ending.ts"
import { type Parts, usualGrace } from "./Parts.ts"
import type * as Pausing from "./Pausing.ts"

/** More than this part of one processor is work: a guest that only waits takes less, its clock and our asking included. */
const workingShare = 0.05

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

interface Seen {
  cpuMs: number
  at: number
  /** The processor time of the guest since it was last in use. */
  idleCpuMs: number
}

/** Looks at all instances now and then, for ever. */
export const make = ({ lifeOf, records, usage }: Parts, pausing: ReturnType<typeof Pausing.make>, ending: Ending) =>
  Effect.gen(function* () {
    const usual = yield* Effect.orDie(settings)
    const seen = new Map<InstanceId, Seen>()
    /** One that a person has paused is left as it is. */
    const pausedHere = new Set<InstanceId>()

    /** One that nothing can wake goes on, unless somebody has said otherwise. */
    const policyOf = ({ spec }: InstanceRecord) => {
      const wakeable = spec.exposes.length > 0
      return {
        pause: (spec.idlePauseSeconds ?? (wakeable ? usual.pause : 0)) * 1000,
        stop: (spec.idleStopSeconds ?? (wakeable ? usual.stop : 0)) * 1000
      }
    }

    /** Asks a guest how much it has worked; work is use. */
    const look = (record: InstanceRecord) =>
      Effect.gen(function* () {
        const life = lifeOf(record.id)
        if (Option.isNone(life)) return
        const { guest } = yield* life.value.running
        const { cpuMs } = yield* guest.activity
        const now = yield* Clock.currentTimeMillis
        const before = seen.get(record.id)
        const spent = before === undefined || cpuMs < before.cpuMs ? 0 : cpuMs - before.cpuMs
        const working = before !== undefined && spent > (now - before.at) * workingShare
        if (working) yield* usage.touch(record.id)
        seen.set(record.id, { cpuMs, at: now, idleCpuMs: working ? 0 : (before?.idleCpuMs ?? 0) + spent })
      }).pipe(Effect.timeout("2 seconds"), Effect.ignore)

    const decide = (record: InstanceRecord) =>
      Effect.gen(function* () {
        const { id, state } = record
        const policy = policyOf(record)
        if (policy.pause === 0 && policy.stop === 0) return
        if (usage.isBusy(id)) return yield* usage.touch(id)
        if (state === "running") {
          pausedHere.delete(id)
          yield* look(record)
        } else if (!pausedHere.has(id)) return
        const now = yield* Clock.currentTimeMillis
        const last = usage.lastActive(record)
        const idle = now - last.epochMillis
        const cause = new ByIdleTimer({
          idleSeconds: Math.round(idle / 1000),
          evidence: `no connection and no exec since ${DateTime.formatIso(last).replace(/\.\d+Z$/, "Z")}, ${seen.get(id)?.idleCpuMs ?? 0} ms of its processor's time in between`
        })
        const busy = () => usage.isBusy(id)
        if (policy.stop > 0 && idle >= policy.stop) {
          yield* ending.stop(id, usualGrace, cause, { reason: new IdleEnd(), unless: busy })
          pausedHere.delete(id)
        } else if (policy.pause > 0 && idle >= policy.pause && state === "running") {
          yield* pausing.pause(id, cause, busy)
          pausedHere.add(id)
        }
      }).pipe(
        // It was used, ended or deleted in this very moment.
        Effect.catchTags({ NotFound: () => Effect.void, StateConflict: () => Effect.void }),
        Effect.catchAll((error) => Effect.logWarning(`${record.id} was not looked at: ${error.message}`))
      )

    const round = Effect.gen(function* () {
      const alive = yield* records.list({ states: ["running", "paused"], ephemeral: false })
      const ids = new Set(alive.map(({ id }) => id))
      for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id)
      yield* Effect.forEach(alive, decide, { concurrency: 4, discard: true })
    }).pipe(Effect.catchAll((error) => Effect.logWarning(`idle instances were not looked for: ${error.message}`)))

    return Effect.repeat(round, Schedule.spaced(Duration.seconds(Math.max(usual.check, 0.1))))
  })
