import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import { acknowledgement, type Frame, FrameDecoder } from "../src/index.ts"

const frame = (type: number, seq: bigint, payload: Uint8Array) => {
  const header = Buffer.alloc(16)
  header.writeUInt32BE(payload.length, 0)
  header[4] = type
  header.writeBigUInt64BE(seq, 8)
  return Buffer.concat([header, payload])
}

const exit = (seq: bigint, text = '{"type":"exit","code":0}') => frame(3, seq, Buffer.from(text))

const decodeAll = (bytes: Uint8Array, cuts: ReadonlyArray<number>, after = 0n) => {
  const decoder = new FrameDecoder(after)
  const frames: Array<Frame> = []
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  let from = 0
  for (const end of ends) {
    const result = decoder.push(bytes.subarray(from, end))
    if (Either.isLeft(result)) return result
    frames.push(...result.right)
    from = end
  }
  return Either.right(frames)
}

const refusal = (bytes: Uint8Array, after = 0n) => Either.getOrThrow(Either.flip(decodeAll(bytes, [], after))).message

describe("FrameDecoder", () => {
  it("gives the same frames however the bytes are split", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 200 })), { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (outputs, cuts) => {
          const bytes = Buffer.concat([
            ...outputs.map(([type, payload], i) => frame(type, BigInt(i + 1), payload)),
            exit(BigInt(outputs.length + 1))
          ])
          const frames = Either.getOrThrow(decodeAll(bytes, cuts))
          assert.strictEqual(frames.length, outputs.length + 1)
          outputs.forEach(([type, payload], i) => {
            const got = frames[i]
            assert.ok(got?._tag === "Output")
            assert.strictEqual(got.stream, type === 1 ? "stdout" : "stderr")
            assert.deepStrictEqual(Buffer.from(got.bytes), Buffer.from(payload))
          })
          assert.strictEqual(frames.at(-1)?._tag, "Exit")
        }
      )
    )
  })

  it("T-189 refuses a frame that is too large before its bytes have come", () => {
    const header = frame(1, 1n, new Uint8Array(0))
    header.writeUInt32BE(65_537, 0)
    assert.include(refusal(header), "65537 bytes")
    header[4] = 3
    header.writeUInt32BE(1024 * 1024 + 1, 0)
    assert.include(refusal(header), "1048577 bytes")
  })

  it("T-188 refuses an unknown type, reserved bits, a gap, a repetition and anything after the exit", () => {
    assert.include(refusal(frame(4, 1n, Buffer.from("x"))), "unknown frame type 4")
    const reserved = frame(1, 1n, Buffer.from("x"))
    reserved[6] = 1
    assert.include(refusal(reserved), "reserved")
    assert.include(refusal(frame(1, 2n, Buffer.from("x"))), "where 1 was due")
    assert.include(refusal(frame(1, 7n, Buffer.from("x")), 7n), "where 8 was due")
    assert.include(refusal(Buffer.concat([exit(1n), frame(1, 2n, Buffer.from("x"))])), "after the exit")
    assert.include(refusal(Buffer.concat([exit(1n), Buffer.from([0])])), "after the exit")
  })

  it.each([
    '{"type":"exit"}',
    '{"type":"exit","code":"0"}',
    '{"type":"exit","code":256}',
    '{"type":"exit","code":1e400}',
    '{"type":"exit","code":0,"signal":9}',
    '{"type":"exit","signal":0}',
    '{"type":"exit","code":0,"source":"system"}',
    '{"type":"exec","code":0}',
    "[]",
    "null",
    "{",
    ""
  ])("T-191 refuses the exit event %s", (text) => {
    assert.include(refusal(exit(1n, text)), "malformed")
  })

  it("T-188 refuses an event that is not UTF-8", () => {
    assert.include(refusal(frame(3, 1n, Buffer.from([0x7b, 0xff, 0x7d]))), "UTF-8")
  })

  it("any bytes are frames or a violation, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        decodeAll(bytes, [])
      })
    )
  })

  it("an acknowledgement is the number, big-endian", () => {
    assert.deepStrictEqual(acknowledgement(258n), Buffer.from([0, 0, 0, 0, 0, 0, 1, 2]))
  })
})
