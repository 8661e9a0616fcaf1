import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { heartbeat } from "../src/Heartbeat.ts"

describe("heartbeat", () => {
  it.effect("S-189 tells every 5 s that the command runs, with what it has said, until it is interrupted", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const output = { bytes: 0 }
      const progress = (message: string) => Effect.sync(() => void told.push(message))
      const beating = yield* Effect.fork(heartbeat({ progress }, output))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(told, [])
      output.bytes = 12
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.interrupt(beating)
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(told, ["it runs for 5 s; 12 bytes of output", "it runs for 10 s; 12 bytes of output"])
    })
  )
})
