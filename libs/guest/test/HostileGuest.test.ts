/** A harness that was replaced by its guest: it speaks HTTP/2, or something like it, and means harm. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import * as http2 from "node:http2"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { answerHello, BootMessage, ChannelBroken, connect } from "../src/index.ts"

/** A channel to whatever `serve` does with the guest's end of the stream. */
const channelTo = (serve: (socket: net.Socket) => void) =>
  Effect.gen(function* () {
    const directory = mkdtempSync(path.join(tmpdir(), "aegis-hostile-"))
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => undefined)
      Effect.runFork(Effect.andThen(answerHello(socket), () => serve(socket)))
    })
    server.listen(path.join(directory, "channel.sock"))
    yield* Effect.promise(() => once(server, "listening"))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        sockets.forEach((socket) => socket.destroy())
        rmSync(directory, { recursive: true })
      })
    )
    return yield* connect(
      Effect.async<net.Socket, ChannelBroken>((resume) => {
        const socket = net.connect(path.join(directory, "channel.sock"))
        socket.once("connect", () => resume(Effect.succeed(socket)))
        socket.once("error", ({ message }) => resume(new ChannelBroken({ message })))
      })
    )
  })

/** One that answers by HTTP/2's rules, and as it likes. */
const channelToServer = (answer: (stream: http2.ServerHttp2Stream, route: string) => void) =>
  channelTo((socket) => {
    const server = http2.createServer()
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined)
      stream.resume()
      answer(stream, headers[":path"] ?? "")
    })
    server.on("sessionError", () => undefined)
    server.emit("connection", socket)
  })

const respond = (stream: http2.ServerHttp2Stream, body: string | Buffer, status = 200) => {
  stream.respond({ ":status": status })
  stream.end(body)
}

const health = '{"protocol":1,"harness":"0.1.0","kernel":"6.12","state":"waiting","uptimeMs":5}'

const message = new BootMessage({
  protocol: 1,
  argv: ["true"],
  env: Redacted.make({}),
  cwd: "/",
  hostname: "guest",
  clockMs: 0,
  seed: Buffer.alloc(32),
  rootDevice: "/dev/vda",
  stdin: "null"
})

describe("a guest that plays its harness", () => {
  it.scopedLive(
    "T-187 T-188 T-190 T-191 T-204 answers that are none of the protocol's are violations, and the channel goes on",
    () =>
      Effect.gen(function* () {
        let body: string | Buffer = ""
        const channel = yield* channelToServer((stream) => respond(stream, body))
        const refused = [
          "",
          "null",
          "[]",
          "{",
          `${health}${health}`,
          '{"protocol":"1"}',
          health.replace('"waiting"', '"dead"'),
          health.replace("5}", "1e400}"),
          health.replace("5}", '"5"}'),
          health.replace('"6.12"', '{"toString":1}'),
          '{"__proto__":{"protocol":1}}',
          Buffer.from([0xff, 0xfe, 0x7b]),
          "[".repeat(200_000)
        ]
        for (body of refused) {
          const error = yield* Effect.flip(channel.health)
          assert.strictEqual(error._tag, "GuestProtocolViolation", String(body).slice(0, 80))
          // What it says of the guest's bytes is bounded.
          assert.isBelow(error.message.length, 2_000)
        }
        assert.notProperty({}, "protocol")
        // Half a surrogate pair and control bytes are a string like any other: whoever shows it makes them visible.
        body = health.replace("6.12", "\\ud800\\u001b[2J")
        assert.strictEqual((yield* channel.health).kernel, "\ud800\u001b[2J")
      })
  )

  it.scopedLive("T-189 an answer without end is given up after a megabyte", () =>
    Effect.gen(function* () {
      let sent = 0
      const channel = yield* channelToServer((stream) => {
        stream.respond({ ":status": 200 })
        const more = () => {
          while (!stream.destroyed && stream.write(Buffer.alloc(65_536, " "))) sent += 65_536
        }
        stream.on("drain", more)
        more()
      })
      assert.strictEqual((yield* Effect.flip(channel.health))._tag, "GuestProtocolViolation")
      assert.isBelow(sent, 32 * 1024 * 1024)
    })
  )

  it.scopedLive(
    "T-191 T-202 an error answer with a code of its own making is a violation, one that comes twice is one",
    () =>
      Effect.gen(function* () {
        let body = '{"code":"root","message":"you"}'
        const channel = yield* channelToServer((stream) => respond(stream, body, 422))
        assert.strictEqual((yield* Effect.flip(channel.boot(message)))._tag, "GuestProtocolViolation")
        body = '{"code":"state","message":"no"}{"code":"state","message":"no"}'
        assert.strictEqual((yield* Effect.flip(channel.boot(message)))._tag, "GuestProtocolViolation")
        body = '{"code":"state","message":"no"}'
        assert.deepInclude(yield* Effect.flip(channel.boot(message)), { _tag: "HarnessRefused", code: "state" })
      })
  )

  it.scopedLive("T-202 output before the command was said to run waits in the guest, but for a window", () =>
    Effect.gen(function* () {
      let taken = 0
      const channel = yield* channelToServer((stream, route) => {
        if (!route.startsWith("/events")) return respond(stream, health)
        stream.respond({ ":status": 200 })
        const more = () => {
          let room = true
          for (let i = 0; room && taken < 64 * 1024 * 1024 && !stream.destroyed; i++) {
            room = stream.write(Buffer.alloc(65_536))
            taken += 65_536
          }
        }
        stream.on("drain", more)
        more()
      })
      const { frames } = yield* channel.events(0n)
      // Nobody reads; other calls are answered all the same.
      for (let i = 0; i < 20; i++) yield* channel.health
      assert.isBelow(taken, 24 * 1024 * 1024)
      // Zero bytes are no frames.
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(frames)))._tag, "GuestProtocolViolation")
    })
  )

  it.scopedLive("T-203 one that never answers is waited for as long as the caller likes, and not a moment longer", () =>
    Effect.gen(function* () {
      const channel = yield* channelToServer(() => undefined)
      const answer = yield* Effect.timeoutOption(channel.boot(message), "50 millis")
      assert.strictEqual(answer._tag, "None")
      // And the channel is still one.
      const other = yield* Effect.timeoutOption(channel.health, "50 millis")
      assert.strictEqual(other._tag, "None")
    })
  )

  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const header = Buffer.alloc(9)
    header.writeUIntBE(payload.length, 0, 3)
    header.writeUInt8(type, 3)
    header.writeUInt8(flags, 4)
    header.writeUInt32BE(stream, 5)
    return Buffer.concat([header, payload])
  }
  const settings = frame(4, 0, 0, Buffer.alloc(0))
  const many = (piece: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => piece))
  const floods: ReadonlyArray<readonly [string, Buffer]> = [
    ["200 000 pings", many(frame(6, 0, 0, Buffer.alloc(8)), 200_000)],
    ["200 000 settings", many(frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255])), 200_000)],
    ["200 000 frames of an unknown type", many(frame(200, 0, 0, Buffer.alloc(8)), 200_000)],
    ["headers of a stream that nobody asked for", frame(1, 4, 2, Buffer.from([0x88]))],
    ["a push promise", frame(5, 4, 1, Buffer.from([0, 0, 0, 2, 0x88]))],
    ["a window that overflows", frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))],
    ["a frame of 16 MiB", Buffer.concat([frame(0, 0, 1, Buffer.alloc(0)).fill(0xff, 0, 3), Buffer.alloc(1024)])],
    ["no HTTP/2 at all", Buffer.from("HTTP/1.1 200 OK\r\n\r\n".repeat(10_000))]
  ]
  for (const [what, bytes] of floods) {
    it.scopedLive(`T-199 ${what}: the channel answers or breaks, and the host's memory stays`, () =>
      Effect.gen(function* () {
        const channel = yield* channelTo((socket) => {
          socket.write(settings)
          socket.once("data", () => socket.write(bytes))
        })
        const before = process.memoryUsage().rss
        const answer = yield* Effect.timeoutOption(Effect.exit(channel.health), "500 millis")
        if (answer._tag === "Some") assert.isTrue(answer.value._tag === "Failure")
        assert.isBelow(process.memoryUsage().rss - before, 128 * 1024 * 1024)
      })
    )
  }
})
