/**
 * What a burst of work has left in memory is given back when it is quiet again.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** V8 begins with 1 MiB for new objects, lets it grow to 32 under load, and shrinks it in a collection before which little was allocated. */
const grownBytes = 4 * 1024 * 1024

/** The part of a processor below which a daemon is quiet: a collection holds it up for some 50 ms. */
const quiet = 0.1

export const newSpaceBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0

/** V8's own collection, for which Node has no other way. */
const collector = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect: unknown = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  return () => void (typeof collect === "function" && collect())
})

/** Looks once in so long. V8 counts what was allocated in the last 5 s. */
export const giveBack = (every: Duration.DurationInput = "5 seconds") =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const collect = yield* collector
      let before = process.cpuUsage()
      const look = Effect.sync(() => {
        const { system, user } = process.cpuUsage(before)
        before = process.cpuUsage()
        const isQuiet = (system + user) / 1000 < quiet * Duration.toMillis(every)
        if (isQuiet && newSpaceBytes() > grownBytes) collect()
      })
      yield* Effect.forkScoped(Effect.schedule(look, Schedule.spaced(every)))
    })
  )
