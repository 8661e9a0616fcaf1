import { LogEntry, type LogLine } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { inBatches, LogBatch } from "../src/index.ts"

const time = FastCheck.nat({ max: 2 ** 45 }).map(DateTime.unsafeMake)
const number = FastCheck.nat({ max: 2 ** 48 - 1 })

const line = FastCheck.record({
  _tag: FastCheck.constant("Line" as const),
  seq: number,
  time,
  stream: FastCheck.constantFrom("stdout" as const, "stderr" as const),
  source: FastCheck.constantFrom("primary" as const, "exec" as const, "system" as const),
  bytes: FastCheck.uint8Array({ maxLength: 200 }),
  partial: FastCheck.boolean()
})
const named = FastCheck.tuple(line, FastCheck.stringMatching(/^[A-Za-z0-9._-]{1,128}$/)).map(([entry, execId]) => ({
  ...entry,
  execId
}))
const gap = FastCheck.record(
  {
    _tag: FastCheck.constant("Gap" as const),
    fromSeq: number,
    toSeq: number,
    lostEntries: number,
    lostBytes: number,
    time,
    reason: FastCheck.constantFrom("dropped" as const, "damaged" as const, "discarded" as const)
  },
  { requiredKeys: ["_tag", "fromSeq", "toSeq", "lostEntries", "time", "reason"] }
)
const batches = FastCheck.array(FastCheck.oneof(line, named, gap), { maxLength: 40 })

const encode = Schema.encodeSync(LogBatch)
const decode = Schema.decodeUnknownSync(LogBatch)
/** In words that two entries have in common only if they are the same. */
const plain = Schema.encodeSync(Schema.Array(LogEntry))

describe("a batch of log entries", () => {
  it("T-287 comes back as it was, wherever in a buffer it lies", () => {
    FastCheck.assert(
      FastCheck.property(batches, FastCheck.nat({ max: 9 }), (entries, before) => {
        const wire = encode(entries)
        const placed = new Uint8Array(before + wire.length + 3).fill(255)
        placed.set(wire, before)
        assert.deepStrictEqual(plain(decode(placed.subarray(before, before + wire.length))), plain(entries))
      })
    )
  })

  it("T-287 one that is cut off, or of a kind that there is none of, is refused and nothing else", () => {
    const one: LogLine = {
      ...{ _tag: "Line", seq: 7, time: DateTime.unsafeMake(8), stream: "stderr", source: "exec", execId: "exec-1" },
      ...{ bytes: Buffer.from("word"), partial: true }
    }
    const wire = encode([one])
    for (let length = 1; length < wire.length; length++) {
      assert.throws(() => decode(wire.subarray(0, length)), undefined, undefined, `${length} bytes`)
    }
    assert.throws(() => decode(Uint8Array.from(wire, (byte, at) => (at === 0 ? 12 : byte))), "an entry of the kind 12")
    const gapped = Uint8Array.from(wire, (byte, at) => (at === 0 ? 16 : byte))
    assert.throws(() => decode(gapped))
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), (bytes) => {
        const result = Effect.runSyncExit(Schema.decode(LogBatch)(bytes))
        if (result._tag === "Failure") assert.strictEqual(result.cause._tag, "Fail")
      })
    )
  })

  it("a stream's chunk is one, and none where it is empty", () => {
    assert.strictEqual(Chunk.size(inBatches(Chunk.empty())), 0)
    assert.strictEqual(Chunk.size(inBatches(Chunk.make<[LogEntry, LogEntry]>(lineOf(1), lineOf(2)))), 1)
  })
})

const lineOf = (seq: number): LogLine => ({
  ...{ _tag: "Line", seq, time: DateTime.unsafeMake(0), stream: "stdout", source: "primary" },
  ...{ bytes: new Uint8Array(), partial: false }
})
