/**
 * How instances are paused and resumed, and woken when somebody needs them.
 */
import { CrashLoop, type EventCause, StateConflict } from "@aegis/domain"
import { crashPoint } from "@aegis/host"
import type { InstanceRecord } from "@aegis/journal"
import type { Vm } from "@aegis/vm"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Life from "./Life.ts"
import { Action, crashLoop } from "./Lifecycle.ts"
import type { Parts, Unless } from "./Parts.ts"
import type { Starting } from "./Starting.ts"

export type Pausing = ReturnType<typeof make>

export const make = ({ act, lifeOf, lock, records, shown }: Parts, { restartRecord }: Starting) => {
  const change = (
    target: string,
    cause: EventCause,
    action: Action,
    work: (vm: Vm, life: Life.Life) => Effect.Effect<void>,
    unless?: Unless
  ) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      return yield* lock(id)(
        Effect.gen(function* () {
          const life = lifeOf(id)
          const { handle } = yield* records.get(id)
          const name = handle ?? id
          const record = yield* Effect.catchTag(
            act(id, cause, action, unless),
            "NotNow",
            ({ state }) =>
              new StateConflict({ target: name, state, remedy: `aegis instance info ${name} shows its state` })
          )
          yield* crashPoint("the change is written down")
          if (Option.isSome(life)) {
            const vm = yield* Effect.option(life.value.running)
            if (Option.isSome(vm)) yield* work(vm.value, life.value)
          }
          return shown(record)
        })
      )
    })

  const pause = (target: string, cause: EventCause, unless?: Unless) =>
    change(target, cause, Action.Pause(), (vm, life) => Effect.zipRight(life.note("paused"), vm.pause), unless)

  const resume = (target: string, cause: EventCause) =>
    change(target, cause, Action.Resume(), (vm, life) =>
      vm.resume.pipe(
        // Its clock stood still with it. A guest that does not answer is none of the caller's business here.
        Effect.zipRight(Effect.flatMap(Clock.currentTimeMillis, (now) => vm.guest.setClock(now))),
        Effect.timeout("2 seconds"),
        Effect.ignore,
        Effect.zipRight(life.note("resumed"))
      )
    )

  /** Its life, once its guest runs its command: one that is paused is resumed, one that starts is waited for. */
  const awake = ({ id, state }: InstanceRecord, cause: EventCause) =>
    Effect.gen(function* () {
      // Somebody else may have been faster.
      if (state === "paused") yield* Effect.catchTag(resume(id, cause), "StateConflict", () => Effect.void)
      const life = lifeOf(id)
      return yield* Effect.transposeMapOption(life, (life) => Effect.map(life.running, (vm) => ({ life, vm })))
    })

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
      yield* awake(record, cause)
      return shown(yield* records.get(record.id))
    }).pipe(Effect.withSpan("Instances.wake"))

  /** As `wake`, but one that is stopped stays so, which is a failure (S-151 to S-154). */
  const ready = (target: string, cause: EventCause) =>
    Effect.gen(function* () {
      const record = yield* records.get(target)
      const { handle, id } = record
      const found = record.state === "stopped" ? Option.none() : yield* awake(record, cause)
      if (Option.isSome(found)) return { ...found.value, name: handle ?? id }
      return yield* new StateConflict({
        target: handle ?? id,
        state: "stopped",
        remedy:
          handle === undefined
            ? "aegis instance list --running shows those that run"
            : `aegis instance start --name ${handle}`
      })
    })

  return { pause, resume, wake, ready }
}
