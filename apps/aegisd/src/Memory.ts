/**
 * The daemon's memory for new objects: a burst of work does not make it large for good. V8 begins with 2 MiB, doubles it up to 32 as
 * requests come, and shrinks it in a collection before which little was allocated, which a daemon that waits never comes to.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { PerformanceObserver } from "node:perf_hooks"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const mebibyte = 1024 * 1024

/** From here on it does not grow, once the loop has had a turn to say so. */
const enoughBytes = 8 * mebibyte

/** What is more than that is given back when there is time. */
const grownBytes = 4 * mebibyte

/** The part of a processor below which a daemon is quiet: a collection holds it up for some 50 ms. */
const quiet = 0.2

/** So many looks in a row have to find it quiet; after a collection that has not helped it is more: too much is allocated all the while. */
const patience = 2
const longPatience = 12

export const newSpaceBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0

/** V8's own collection, for which Node has no other way. */
const collector = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const collect: unknown = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  return () => void (typeof collect === "function" && collect())
})

const growBy = (factor: 1 | 2) => setFlagsFromString(`--semi-space-growth-factor=${factor}`)

/** Looks after each collection of V8's. */
const limited = Effect.acquireRelease(
  Effect.sync(() => {
    const observer = new PerformanceObserver(() => growBy(newSpaceBytes() >= enoughBytes ? 1 : 2))
    observer.observe({ entryTypes: ["gc"] })
    return observer
  }),
  (observer) =>
    Effect.sync(() => {
      observer.disconnect()
      growBy(2)
    })
)

/** Keeps it small. Looks once in `every`; V8 counts what was allocated in the last 5 s. */
export const keptSmall = (every: Duration.DurationInput = "5 seconds") =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      yield* limited
      const collect = yield* collector
      let before = process.cpuUsage()
      let left = patience
      const look = Effect.sync(() => {
        const { system, user } = process.cpuUsage(before)
        before = process.cpuUsage()
        const isQuiet = (system + user) / 1000 < quiet * Duration.toMillis(every)
        left = isQuiet ? left - 1 : Math.max(left, patience)
        if (left > 0 || newSpaceBytes() <= grownBytes) return
        collect()
        left = newSpaceBytes() > grownBytes ? longPatience : patience
      })
      yield* Effect.forkScoped(Effect.schedule(look, Schedule.spaced(every)))
    })
  )
