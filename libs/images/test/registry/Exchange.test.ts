import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { PassThrough, Readable } from "node:stream"
import { bodyOf } from "../../src/registry/Exchange.ts"
import { machine, ref, serve, shaOf, someBytes } from "./scripted.ts"

/** All of a body, each piece as its reader sees it. */
const piecesOf = (source: Readable) =>
  Effect.map(Stream.runCollect(Stream.map(bodyOf(source), (piece) => Buffer.from(piece))), Chunk.toReadonlyArray)

describe("an answer's body", () => {
  it.effect("is whole whatever pieces it comes in, also in such that are larger than what is given at once", () =>
    Effect.gen(function* () {
      for (const sizes of [[], [1], [3_000_000], [500_000, 1_200_000, 7], Array.from({ length: 99 }, () => 65_536)]) {
        const sent = sizes.map(someBytes)
        const expected = Buffer.concat(sent)
        const pieces = yield* piecesOf(Readable.from(sent, { objectMode: false }))
        assert.isTrue(expected.equals(Buffer.concat(pieces)), sizes.join())
        assert.isTrue(pieces.every(({ length }) => length > 0 && length <= 512 * 1024))
      }
    })
  )

  it.effect("gives the memory of what came back at once, and nothing of what others hold", () =>
    Effect.gen(function* () {
      const whole = Buffer.from(new ArrayBuffer(65_536))
      const content = someBytes(200_000)
      const part = content.subarray(100_000)
      const copy = Buffer.from(content)
      yield* piecesOf(Readable.from([whole, part]))
      assert.strictEqual(whole.length, 0)
      assert.isTrue(copy.equals(content))
    })
  )

  it.effect("makes its sender wait while its reader does", () =>
    Effect.gen(function* () {
      let sent = 0
      const source = new Readable({
        read() {
          sent++
          this.push(sent > 100 ? null : Buffer.alloc(65_536))
        }
      })
      const one = yield* Stream.runHead(bodyOf(source))
      assert.strictEqual(one._tag, "Some")
      yield* Effect.promise(() => new Promise((done) => setImmediate(done)))
      assert.isBelow(sent, 30)
    })
  )

  it.effect("broken off, it gives what came and then fails; broken before it is read, it fails", () =>
    Effect.gen(function* () {
      const source = new PassThrough()
      source.write(Buffer.alloc(1000))
      const seen: Array<number> = []
      const reading = yield* Effect.fork(
        Stream.runForEach(bodyOf(source), ({ length }) =>
          Effect.sync(() => {
            seen.push(length)
            source.destroy(new Error("reset"))
          })
        )
      )
      const exit = yield* Fiber.await(reading)
      assert.deepStrictEqual(seen, [1000])
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("reset"))
      const gone = new PassThrough()
      gone.destroy()
      const error = yield* Effect.flip(piecesOf(gone))
      assert.include(error.message, "broken off")
    })
  )

  it.scoped("of 64 MB leaves no more of them in memory than are on their way", () =>
    Effect.gen(function* () {
      const megabyte = Buffer.alloc(1_000_000)
      const size = 64 * megabyte.length
      const server = yield* serve((_, response) => {
        response.writeHead(200, { "content-length": size })
        Readable.from(Array.from({ length: 64 }, () => megabyte)).pipe(response)
      })
      const registry = yield* machine()
      const held = () => process.memoryUsage().arrayBuffers
      const descriptor = { digest: shaOf(megabyte), size, mediaType: "application/octet-stream" }
      const { bytes } = yield* registry.blob(yield* ref(`${server.host}/a`), descriptor, 0)
      const before = held()
      let [most, came] = [0, 0]
      yield* Stream.runForEach(bytes, ({ length }) =>
        Effect.sync(() => {
          came += length
          most = Math.max(most, held() - before)
        })
      )
      assert.strictEqual(came, size)
      assert.isBelow(most, 4_000_000)
    })
  )
})
