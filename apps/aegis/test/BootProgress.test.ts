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
    colorsOutput: false,
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

  it.scoped("says what is done instead, once it shows anything, and each thing once", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(true)
      const progress = yield* Effect.provideService(bootProgress, Stdio, stdio)
      const step = (text: string) => ({ phase: text, text })
      yield* progress.say(step("Resolving alpine"))
      assert.deepStrictEqual(notes, [])
      yield* TestClock.adjust("400 millis")
      yield* progress.say(step("Downloading 5 %"))
      yield* progress.say(step("Downloading 5 %"))
      yield* progress.say(undefined)
      yield* progress.clear
      yield* progress.say(step("Downloading 6 %"))
      assert.deepStrictEqual(notes, [
        ...["\r\u001b[KResolving alpine...", "\r\u001b[KDownloading 5 %...", "\r\u001b[KStarting the guest..."],
        "\r\u001b[K"
      ])
    })
  )

  it.scoped("tells what comes before the guest's start where standard error is no terminal, each phase once", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(false)
      const progress = yield* Effect.provideService(bootProgress, Stdio, stdio)
      for (const text of ["Downloading 1", "Downloading 2"]) yield* progress.say({ phase: "Downloading", text })
      yield* progress.say(undefined)
      yield* progress.clear
      assert.deepStrictEqual(notes, ["Downloading\n"])
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
