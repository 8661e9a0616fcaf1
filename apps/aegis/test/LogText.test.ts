import { LogGap, LogLine } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import { assert, describe, it } from "vitest"
import { formatBytes } from "../src/ImageText.ts"
import { logText } from "../src/LogText.ts"

const time = DateTime.unsafeMake("2026-02-19T10:30:00Z")
let seq = 0
const line = (text: string, more: Partial<typeof LogLine.Type> = {}) =>
  LogLine.make({
    seq: ++seq,
    time,
    stream: "stdout",
    source: "primary",
    bytes: Buffer.from(text, "latin1"),
    partial: false,
    ...more
  })
const shown = (entries: ReadonlyArray<typeof LogLine.Type | typeof LogGap.Type>, options = {}) =>
  logText({ color: { stdout: false, stderr: false }, timestamps: false, ...options })(entries).map(
    ({ bytes, stream }) => [stream, Buffer.from(bytes).toString("latin1")]
  )

describe("a log on the terminal", () => {
  it("S-165 S-166 S-167 exec and system lines have their prefix, the primary's have none", () => {
    const entries = [line("one"), line("two", { source: "exec", execId: "e" }), line("three", { source: "system" })]
    assert.deepStrictEqual(shown(entries), [["stdout", "one\n[exec] two\n[system] three\n"]])
    assert.deepStrictEqual(shown(entries, { color: { stdout: true, stderr: false } }), [
      ["stdout", "one\n\u001b[36m[exec]\u001b[0m two\n\u001b[33m[system]\u001b[0m three\n"]
    ])
  })

  it("D-10 what went to standard error goes there, and the order of each stream stays", () => {
    const entries = [
      line("a"),
      line("b", { stream: "stderr" }),
      line("c"),
      line("d", { stream: "stderr", source: "exec" })
    ]
    assert.deepStrictEqual(shown(entries), [
      ["stdout", "a\n"],
      ["stderr", "b\n"],
      ["stdout", "c\n"],
      ["stderr", "[exec] d\n"]
    ])
  })

  it("T-287 bytes come through as they are, and a partial line is not ended", () => {
    const entries = [line("\xff\x00\x1b", { partial: true }), line("rest")]
    assert.deepStrictEqual(shown(entries), [["stdout", "\xff\x00\x1brest\n"]])
    assert.deepStrictEqual(shown(entries, { timestamps: true }), [
      ["stdout", "2026-02-19T10:30:00.000Z \xff\x00\x1brest\n"]
    ])
  })

  it("T-303 another source's words begin a line of their own behind an unfinished one, in a later batch too", () => {
    const show = logText({ color: { stdout: false, stderr: false }, timestamps: false })
    const text = (...entries: ReadonlyArray<typeof LogLine.Type>) =>
      show(entries)
        .map(({ bytes }) => Buffer.from(bytes).toString())
        .join("")
    assert.strictEqual(text(line("$ ", { partial: true })), "$ ")
    assert.strictEqual(text(line("x", { source: "exec", execId: "e" })), "\n[exec] x\n")
    assert.strictEqual(text(line("pw: ", { source: "exec", execId: "e", partial: true })), "[exec] pw: ")
    assert.strictEqual(text(line("ok", { source: "exec", execId: "e" })), "ok\n")
    assert.strictEqual(text(line("a", { source: "exec", execId: "e", partial: true })), "[exec] a")
    assert.strictEqual(text(line("b", { source: "exec", execId: "f" })), "\n[exec] b\n")
    assert.strictEqual(text(line("c", { partial: true }), line("d", { source: "system" })), "c\n[system] d\n")
  })

  it("P8 a gap is told on standard error", () => {
    const gap = LogGap.make({ fromSeq: 1, toSeq: 3, lostEntries: 3, lostBytes: 30, time, reason: "dropped" })
    assert.deepStrictEqual(shown([gap]), [
      ["stderr", "[system] 3 entries (1 to 3), 30 bytes missing: the log had reached its cap\n"]
    ])
  })

  it("sizes are in decimal units with one digit", () => {
    assert.deepStrictEqual([0, 999, 1000, 1_549_999, 999_960_000, 3e12].map(formatBytes), [
      "0 B",
      "999 B",
      "1.0 kB",
      "1.5 MB",
      "1.0 GB",
      "3.0 TB"
    ])
  })
})
