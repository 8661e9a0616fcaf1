import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { once } from "node:events"
import * as net from "node:net"
import { PassThrough } from "node:stream"
import { connect } from "../src/index.ts"
import { answerHello, greet } from "../src/Hello.ts"
import * as http2 from "node:http2"

/** Two ends of one socket over loopback. */
const ends = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = net.createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    const host = net.connect(typeof address === "object" && address !== null ? address.port : 0, "127.0.0.1")
    const [guest] = await once(server, "connection")
    if (!(guest instanceof net.Socket)) throw new Error("no socket")
    return { host, guest, server }
  }),
  ({ guest, host, server }) =>
    Effect.sync(() => {
      host.destroy()
      guest.destroy()
      server.close()
    })
)

describe("the beginning of a channel", () => {
  it.scopedLive("what an earlier host would have got is no answer to this one, also where it looks like one", () =>
    Effect.gen(function* () {
      const { guest, host } = yield* ends
      // The answer to a session of an earlier daemon: its echo, settings, and the end of it.
      guest.write(`rest of a frame AEGIS/1 ${"0".repeat(32)}\n`)
      guest.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
      const server = http2.createServer()
      server.on("stream", (stream) => {
        stream.respond({ ":status": 200 })
        stream.end('{"protocol":1,"harness":"0.1.0","kernel":"6.12","state":"waiting","uptimeMs":5}')
      })
      yield* Effect.fork(Effect.andThen(answerHello(guest), () => server.emit("connection", guest)))
      const channel = yield* connect(Effect.succeed(host))
      assert.strictEqual((yield* channel.health).kernel, "6.12")
    })
  )

  it.live("finds its echo however the bytes are cut, and leaves the ones behind it", () =>
    Effect.gen(function* () {
      for (let size = 1; size < 60; size++) {
        const up = new PassThrough()
        const down = new PassThrough()
        const stream = Object.assign(up, { write: down.write.bind(down) })
        const fiber = yield* Effect.fork(greet(stream))
        yield* Effect.promise(() => once(down, "readable"))
        const bytes = Buffer.from(`AEGIS/1 AEGIS/1 ${down.read()}behind`)
        for (let at = 0; at < bytes.length; at += size) {
          up.push(bytes.subarray(at, at + size))
          yield* Effect.yieldNow()
        }
        yield* Fiber.join(fiber)
        let rest = ""
        for (let piece = up.read(); piece !== null; piece = up.read()) rest += piece
        assert.strictEqual(rest, "behind")
      }
    })
  )

  it.scopedLive("a guest that hangs up, and one that floods, get no further", () =>
    Effect.gen(function* () {
      const { guest, host } = yield* ends
      const before = process.memoryUsage().rss
      let sent = 0
      const flood = () => {
        while (sent < 200_000_000 && guest.write(Buffer.alloc(65_536))) sent += 65_536
        if (sent >= 200_000_000) guest.end()
      }
      guest.on("drain", flood)
      flood()
      assert.strictEqual((yield* Effect.flip(greet(host)))._tag, "ChannelBroken")
      assert.isAtLeast(sent, 200_000_000)
      assert.isBelow(process.memoryUsage().rss - before, 150_000_000)
      assert.isTrue(host.destroyed)
    })
  )
})
