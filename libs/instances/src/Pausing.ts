/**
 * How instances are paused and resumed, and woken when somebody needs them.
 */
import { CrashLoop, type EventCause, StateConflict } from "@aegis/domain"
import { crashPoint } from "@aegis/host"
import type { InstanceRecord } from "@aegis/journal"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Life from "./Life.ts"
import { Action, crashLoop, type NotNow } from "./Lifecycle.ts"
import type { Parts } from "./Parts.ts"
import type { Starting } from "./Starting.ts"
import { instanceOf } from "./View.ts"

export const make = ({ act, lifeOf, lock, records }: Parts, { restartRecord }: Starting) => {
  const conflict = (record: InstanceRecord, remedy: string) => (refused: NotNow) =>
    new StateConflict({ target: record.handle ?? record.id, state: refused.state, remedy })

  const paused = (
    target: string,
    cause: EventCause,
    action: Action,
    remedy: (name: string) => string,
    work: (life: Life.Life) => Effect.Effect<void>
  ) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      return yield* lock(id)(
        Effect.gen(function* () {
          const before = yield* records.get(id)
          const life = lifeOf(id)
          const record = yield* Effect.catchTag(act(id, cause, action), "NotNow", (refused) =>
            Effect.fail(conflict(before, remedy(before.handle ?? id))(refused))
          )
          yield* crashPoint("the change is written down")
          if (Option.isSome(life)) yield* work(life.value)
          return instanceOf(record)
        })
      )
    })

  const pause = (target: string, cause: EventCause) =>
    paused(
      target,
      cause,
      Action.Pause(),
      (name) => `aegis instance info ${name} shows its state`,
      (life) =>
        Effect.flatMap(Effect.option(life.running), (vm) =>
          Option.isNone(vm) ? Effect.void : Effect.zipRight(life.note("paused"), vm.value.pause)
        )
    )

  const resume = (target: string, cause: EventCause) =>
    paused(
      target,
      cause,
      Action.Resume(),
      (name) => `aegis instance info ${name} shows its state`,
      (life) =>
        Effect.flatMap(Effect.option(life.running), (vm) =>
          Option.isNone(vm)
            ? Effect.void
            : vm.value.resume.pipe(
                // Its clock stood still with it. A guest that does not answer is none of the caller's business here.
                Effect.zipRight(Effect.flatMap(Clock.currentTimeMillis, (now) => vm.value.guest.setClock(now))),
                Effect.timeout("2 seconds"),
                Effect.ignore,
                Effect.zipRight(life.note("resumed"))
              )
        )
    )

  const wake = (target: string, cause: EventCause) =>
    Effect.gen(function* () {
      const record = yield* records.get(target)
      if (record.state === "stopped") {
        if (record.wakeUpsSuspended) {
          return yield* new CrashLoop({
            target: record.handle ?? record.id,
            ends: crashLoop.ends,
            withinSeconds: crashLoop.withinSeconds
          })
        }
        // Somebody else may have been faster.
        yield* Effect.catchTag(restartRecord(record, cause), "HandleTaken", () => Effect.void)
      }
      if (record.state === "paused") {
        yield* Effect.catchTag(resume(record.id, cause), "StateConflict", () => Effect.void)
      }
      const life = lifeOf(record.id)
      if (Option.isSome(life)) yield* life.value.running
      return instanceOf(yield* records.get(record.id))
    }).pipe(Effect.withSpan("Instances.wake"))

  return { pause, resume, wake }
}
