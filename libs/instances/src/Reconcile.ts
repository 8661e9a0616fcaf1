/**
 * Somebody else may stop the process of a VM, or let a paused one go on: the record follows what is the case (T-234).
 */
import { ByDaemon, type InstanceId } from "@aegis/domain"
import { ProcessTable } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Action } from "./Lifecycle.ts"
import type { Parts } from "./Parts.ts"

const lookAgain = "3 seconds"

/** Looks at the processes of all VMs from now on, until its scope ends. */
export const reconcile = ({ act, lives, lock, records }: Parts) => {
  /** What its process says that its record does not. */
  const difference = (id: InstanceId, pid: number) =>
    Effect.gen(function* () {
      const { state } = yield* records.get(id)
      const stopped = Option.map(yield* ProcessTable.read(pid), (entry) => entry.state === "T")
      if (state === "running" && Option.contains(stopped, true)) return Option.some(stopping)
      if (state === "paused" && Option.contains(stopped, false)) return Option.some(continuing)
      return Option.none()
    })

  const look = Effect.forEach(
    lives,
    ([id, life]) =>
      Effect.gen(function* () {
        if (!(yield* life.isRunning)) return
        const { pid } = yield* life.running
        if (pid === undefined || Option.isNone(yield* difference(id, pid))) return
        // Our own pause or resume may be under way: what is the case between two of them counts.
        yield* lock(id)(
          Effect.flatMap(
            difference(id, pid),
            Option.match({
              onNone: () => Effect.void,
              onSome: ({ action, because, said }) =>
                Effect.zipRight(act(id, new ByDaemon({ because }), action), life.note(said))
            })
          )
        )
      }).pipe(Effect.ignore),
    { discard: true }
  )
  return Effect.forkScoped(Effect.schedule(look, Schedule.spaced(lookAgain)))
}

interface Difference {
  readonly action: Action
  readonly because: string
  readonly said: string
}

const stopping: Difference = {
  action: Action.Pause(),
  because: "its process was found stopped",
  said: "paused from outside"
}
const continuing: Difference = {
  action: Action.Resume(),
  because: "its process was found running",
  said: "resumed from outside"
}
