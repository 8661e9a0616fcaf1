import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { giveBack, newSpaceBytes } from "../src/Memory.ts"

const mebibyte = 1024 * 1024

/** Many small objects of which some live for a moment, as requests leave them. */
const burst = () => {
  let live: Array<object> = []
  for (let i = 0; i < 3_000_000; i++) {
    live.push({ number: i, list: [i] })
    if (live.length > 50_000) live = []
  }
}

describe("the daemon's memory", () => {
  it.scopedLive("what a burst has left is given back when it is quiet, and not before", () =>
    Effect.gen(function* () {
      burst()
      const grown = newSpaceBytes()
      assert.isAbove(grown, 8 * mebibyte)
      yield* Layer.build(giveBack("1 second"))
      const given = Effect.repeat(Effect.sync(newSpaceBytes), {
        until: (bytes) => bytes <= 4 * mebibyte,
        schedule: Schedule.spaced("250 millis")
      })
      yield* Effect.timeout(given, "20 seconds")
    })
  )
})
