import { BuildingDisk, Digest, Downloading, Pulled, Resolving } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { bootProgress } from "../src/BootProgress.ts"
import { pullText } from "../src/PullText.ts"
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
      yield* progress.say("Resolving alpine")
      assert.deepStrictEqual(notes, [])
      yield* TestClock.adjust("400 millis")
      yield* progress.say("Downloading 5 %")
      yield* progress.say("Downloading 5 %")
      yield* progress.clear
      yield* progress.say("Downloading 6 %")
      assert.deepStrictEqual(notes, ["\r\u001b[KResolving alpine...", "\r\u001b[KDownloading 5 %...", "\r\u001b[K"])
    })
  )

  it("a pull's steps become words, its blobs one sum", () => {
    const digest = (digit: string) => Digest.make(`sha256:${digit.repeat(64)}`)
    const blob = (digit: string, bytes: number) =>
      new Downloading({ digest: digest(digit), bytes, total: 1_000_000, shared: false })
    const text = pullText()
    assert.strictEqual(text(new Resolving({ name: "alpine\u001b[2J" })), "Looking for alpine\\x1b[2J")
    assert.strictEqual(text(blob("a", 0)), "Downloading 0 % of 1.0 MB")
    assert.strictEqual(text(blob("b", 500_000)), "Downloading 25 % of 2.0 MB")
    assert.strictEqual(text(blob("a", 1_000_000)), "Downloading 75 % of 2.0 MB")
    assert.strictEqual(text(new BuildingDisk({ fraction: 0.336 })), "Building the disk 33 %")
    assert.strictEqual(text(new Pulled({ name: "alpine", digest: digest("c") })), "Starting the guest")
  })

  it.scoped("shows nothing where standard error is no terminal", () =>
    Effect.gen(function* () {
      const { notes, stdio } = terminal(false)
      yield* Effect.provideService(bootProgress, Stdio, stdio)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(notes, [])
    })
  )
})
