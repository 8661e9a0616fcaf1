import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { bootProgress } from "../src/BootProgress.ts"
import { Stdio } from "../src/Stdio.ts"

const terminal = (isTerminal: boolean) => {
  const notes: Array<string> = []
  const stdio = Stdio.of({
    print: () => Effect.void,
    note: (text) => Effect.sync(() => void notes.push(text)),
    write: () => Effect.void,
    input: Stream.empty,
    isTerminal,
    color: false
  })
  return { notes, stdio }
}

describe("bootProgress", () => {
  it.scoped("shows nothing for a start that takes less than 400 ms", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(true)
      const progress = yield* Effect.provideService(bootProgress, Stdio, stdio)
      yield* TestClock.adjust("399 millis")
      yield* progress.clear
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(notes, [])
    })
  )

  it.scoped("counts the seconds of a longer one, and is gone when it is cleared", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(true)
      const progress = yield* Effect.provideService(bootProgress, Stdio, stdio)
      yield* TestClock.adjust("1500 millis")
      yield* progress.clear
      yield* progress.clear
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(notes, [
        "\r\u001b[KStarting the guest...",
        "\r\u001b[KStarting the guest... 1 s",
        "\r\u001b[K"
      ])
    })
  )

  it.scoped("shows nothing where standard error is no terminal", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(false)
      yield* Effect.provideService(bootProgress, Stdio, stdio)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(notes, [])
    })
  )
})
