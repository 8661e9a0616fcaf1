import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { InstanceId, type LogEntry, LogQuery, RestLogEntry, restLogEntry } from "../src/index.ts"

const instance = InstanceId.make("inst-42")
const codec = restLogEntry(instance)
const encode = Schema.encodeSync(codec)
const decode = Schema.decodeSync(codec)
const time = DateTime.unsafeMake(1_795_515_600_123)

const line = (bytes: Uint8Array, more: object = {}): LogEntry => ({
  _tag: "Line",
  seq: 7,
  time,
  stream: "stdout",
  source: "primary",
  bytes,
  partial: false,
  ...more
})

describe("D-23 a log entry in REST", () => {
  it("has the original's fields, and server for the primary", () => {
    assert.deepStrictEqual(encode(line(Buffer.from("hé\ufeff"))), {
      ts: "2026-11-24T10:20:00.123Z",
      seq: 7,
      stream: "stdout",
      source: "server",
      line: "hé\ufeff",
      instance_id: "inst-42"
    })
    const exec = encode(line(Buffer.from("x"), { source: "exec", execId: "exec-1", stream: "stderr", partial: true }))
    assert.deepInclude(exec, { source: "exec", exec_id: "exec-1", stream: "stderr", partial: true })
  })

  it("T-287 a line that is not UTF-8 comes as line_base64, and any bytes come back the same", () => {
    assert.deepInclude(encode(line(Uint8Array.of(0xff, 10, 0))), { line_base64: "/woA" })
    assert.notProperty(encode(line(Uint8Array.of(0xff))), "line")
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(
          FastCheck.uint8Array(),
          FastCheck.string().map((text) => new TextEncoder().encode(text))
        ),
        (bytes) => {
          const entry = decode(JSON.parse(JSON.stringify(encode(line(bytes)))))
          assert.isTrue(entry._tag === "Line" && Buffer.from(entry.bytes).equals(bytes))
        }
      )
    )
  })

  it("P8 a gap says what is missing, in words and in numbers", () => {
    const gap: LogEntry = {
      _tag: "Gap",
      fromSeq: 3,
      toSeq: 12,
      lostEntries: 10,
      lostBytes: 1000,
      time,
      reason: "dropped"
    }
    const rest = encode(gap)
    assert.deepInclude(rest, {
      source: "system",
      line: "10 entries (3 to 12), 1000 bytes missing: the log had reached its cap"
    })
    assert.deepStrictEqual(rest.gap, { from_seq: 3, to_seq: 12, lost_entries: 10, lost_bytes: 1000, reason: "dropped" })
    assert.deepStrictEqual(decode(rest), gap)
  })

  it("is refused with both forms of a line, and with none", () => {
    const base = encode(line(Buffer.from("x")))
    const { line: _, ...none } = base
    assert.strictEqual(Schema.decodeUnknownEither(RestLogEntry)({ ...base, line_base64: "eA==" })._tag, "Left")
    assert.strictEqual(Schema.decodeUnknownEither(RestLogEntry)(none)._tag, "Left")
  })
})

describe("T-300 a query for logs", () => {
  const accepts = (query: unknown) => Schema.decodeUnknownEither(LogQuery)(query)._tag === "Right"

  it("takes what makes sense", () => {
    assert.isTrue(accepts({}))
    assert.isTrue(accepts({ tail: 0, since: 9e14, follow: true, sources: ["exec", "system"], execId: "a.b-1" }))
  })

  it("refuses what is no number, time, source or exec", () => {
    for (const bad of [
      { tail: -1 },
      { tail: 1.5 },
      { tail: "3" },
      { tail: NaN },
      { after: -1 },
      { since: "yesterday" }
    ]) {
      assert.isFalse(accepts(bad), JSON.stringify(bad))
    }
    for (const bad of [{ since: NaN }, { since: 9e15 }, { sources: [] }, { sources: ["guest"] }, { execId: "../x" }]) {
      assert.isFalse(accepts(bad), JSON.stringify(bad))
    }
    assert.isFalse(accepts({ grep: "x".repeat(1025) }))
  })
})
