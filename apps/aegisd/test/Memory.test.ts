import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { keptSmall, newSpaceBytes } from "../src/Memory.ts"

const mebibyte = 1024 * 1024

/** Many small objects of which some live for a moment, as requests leave them. */
const burst = Effect.forEach(
  Array.from({ length: 60 }),
  () =>
    Effect.zipRight(
      Effect.sync(() => {
        const live: Array<object> = []
        for (let i = 0; i < 50_000; i++) live.push({ number: i, list: [i] })
      }),
      Effect.sleep("1 millis")
    ),
  { discard: true }
)

describe("the daemon's memory", () => {
  it.scopedLive(
    "what a burst has left is given back when it is quiet",
    () =>
      Effect.gen(function* () {
        yield* burst
        assert.isAbove(newSpaceBytes(), 8 * mebibyte)
        yield* Layer.build(keptSmall("1 second"))
        const given = Effect.repeat(Effect.sync(newSpaceBytes), {
          until: (bytes) => bytes <= 4 * mebibyte,
          schedule: Schedule.spaced("250 millis")
        })
        yield* Effect.timeout(given, "30 seconds")
        // The next one finds it small, and makes it no larger than it has to be.
        yield* burst
        assert.isAtMost(newSpaceBytes(), 16 * mebibyte)
      }),
    60_000
  )
})
