import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { withDetachKeys } from "../src/DetachKeys.ts"

/** What is passed on of these pieces, the last of them the end, and after how many we have left. */
const typed = (pieces: ReadonlyArray<string>, ends = false) => {
  const passed: Array<string> = []
  let left: number | undefined
  let ended = false
  const write = withDetachKeys(
    (bytes, end) =>
      Effect.sync(() => {
        passed.push(Buffer.from(bytes).toString("latin1"))
        ended ||= end
      }),
    Effect.sync(() => {
      left ??= passed.length
    })
  )
  const all = Effect.forEach(pieces, (piece, at) =>
    write(Buffer.from(piece, "latin1"), ends && at === pieces.length - 1)
  )
  return Effect.map(all, () => ({ text: passed.join(""), pieces: passed, left: left !== undefined, ended }))
}

describe("Ctrl+P Ctrl+Q", () => {
  it.effect("leave, however they are cut, and nothing behind them is passed on", () =>
    Effect.gen(function* () {
      const line = "ls\x10\x10\x11rm\x10\x11"
      for (let first = 0; first <= line.length; first++) {
        for (let second = first; second <= line.length; second++) {
          const { ended, left, text } = yield* typed(
            [line.slice(0, first), line.slice(first, second), line.slice(second)],
            true
          )
          assert.deepStrictEqual([text, left, ended], ["ls\x10", true, false], `${first} ${second}`)
        }
      }
    })
  )

  it.effect("one without the other is a key as any", () =>
    Effect.gen(function* () {
      for (const pieces of [["a\x10", "b\x11"], ["\x11\x10", "\x10", "x"], ["\x10", ""], ["ä\x10p"]]) {
        const { ended, left, text } = yield* typed([...pieces, ""], true)
        assert.deepStrictEqual([text, left, ended], [pieces.join(""), false, true])
      }
    })
  )

  it.effect("a Ctrl+P waits for the key behind it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* typed(["a\x10"])).pieces, ["a"])
      assert.deepStrictEqual((yield* typed(["a\x10", "b"])).pieces, ["a", "\x10b"])
    })
  )
})
