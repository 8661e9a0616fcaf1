import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http2 from "node:http2"
import * as net from "node:net"
import { Readable } from "node:stream"
import { answerHello, connect, EarlyBytes, type Tunnel } from "../src/index.ts"

/** A harness that answers CONNECT as `serve` says, over a real socket. */
const harness = (serve: (stream: http2.ServerHttp2Stream, authority: string) => void) =>
  Effect.gen(function* () {
    const server = http2.createServer({ settings: { initialWindowSize: 131_072 } })
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined)
      serve(stream, headers[":authority"] ?? "")
    })
    server.on("sessionError", () => undefined)
    const listener = net.createServer((socket) =>
      Effect.runFork(Effect.andThen(answerHello(socket), () => server.emit("connection", socket)))
    )
    const port = yield* Effect.async<number>((resume) => {
      listener.listen(0, "127.0.0.1", () => {
        const address = listener.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => listener.close()))
    return yield* connect(Effect.sync(() => net.connect(port, "127.0.0.1")))
  })

const block = (bytes: Uint8Array | string) => {
  const payload = Buffer.from(bytes)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(payload.length)
  return Buffer.concat([header, payload])
}

const all = (tunnel: NodeJS.ReadableStream) =>
  Effect.async<Buffer, Error>((resume) => {
    const pieces: Array<Buffer> = []
    tunnel.on("data", (piece: Buffer) => pieces.push(piece))
    tunnel.on("end", () => resume(Effect.succeed(Buffer.concat(pieces))))
    tunnel.on("error", (error: Error) => resume(Effect.fail(error)))
  })

describe("a tunnel to a guest's port", () => {
  it.scopedLive("carries bytes both ways, however the blocks are cut; T-168 either half ends alone", () =>
    Effect.gen(function* () {
      const sent = Buffer.alloc(3_000_000, "0123456789")
      const guest = yield* harness((stream, authority) => {
        assert.strictEqual(authority, "127.0.0.1:80")
        stream.respond({ ":status": 200 })
        const down = [Buffer.from("hello "), Buffer.from("world")].map(block)
        for (const byte of Buffer.concat(down)) stream.write(Buffer.from([byte]))
        stream.write(block(""))
        const up: Array<Buffer> = []
        stream.on("data", (piece: Buffer) => up.push(piece))
        stream.on("end", () => {
          assert.isTrue(Buffer.concat(up).equals(sent))
          stream.end()
        })
      })
      const tunnel = yield* guest.tunnel(80)
      assert.strictEqual(String(yield* all(tunnel)), "hello world")
      const finished = Effect.async<void>((resume) => void tunnel.once("close", () => resume(Effect.void)))
      yield* Effect.all([finished, Effect.sync(() => tunnel.end(sent))], { concurrency: 2 })
    })
  )

  it.scopedLive("is refused in the harness's words", () =>
    Effect.gen(function* () {
      const guest = yield* harness((stream) => {
        stream.respond({ ":status": 502 })
        stream.end(JSON.stringify({ code: "connect-refused", message: "nobody listens on port 80" }))
      })
      const error = yield* Effect.flip(guest.tunnel(80))
      assert.deepInclude(error, {
        _tag: "HarnessRefused",
        code: "connect-refused",
        message: "nobody listens on port 80"
      })
    })
  )

  it.scopedLive(
    "what a client says early comes with the request, once more after a refusal, and before what it says later",
    () =>
      Effect.gen(function* () {
        const sent = Buffer.alloc(300_000, "0123456789")
        let requests = 0
        const guest = yield* harness((stream) => {
          const heard: Array<Buffer> = []
          const refused = (requests += 1) === 1
          stream.on("data", (piece: Buffer) => {
            heard.push(piece)
            // There is no answer before the first bytes.
            if (stream.headersSent) return
            stream.respond({ ":status": refused ? 502 : 200 })
            if (refused) stream.end(JSON.stringify({ code: "connect-refused", message: "not yet" }))
          })
          stream.on("end", () => {
            if (refused) return
            stream.write(block(String(Buffer.concat(heard).equals(sent))))
            stream.end(block(""))
          })
        })
        const client = Readable.from([sent.subarray(0, 10), sent.subarray(10, 100_000), sent.subarray(100_000)], {
          objectMode: false
        })
        const early = new EarlyBytes(client)
        assert.strictEqual((yield* Effect.flip(guest.tunnel(80, early)))._tag, "HarnessRefused")
        const tunnel = yield* guest.tunnel(80, early)
        client.pipe(tunnel)
        assert.strictEqual(String(yield* all(tunnel)), "true")
        assert.strictEqual(requests, 2)
      })
  )

  it.scopedLive("T-169 a reset is an error, not an end; what came before it has been heard", () =>
    Effect.gen(function* () {
      const guest = yield* harness((stream) => {
        stream.respond({ ":status": 200 })
        stream.write(block("half"))
        stream.on("data", () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
      })
      const tunnel = yield* guest.tunnel(80)
      tunnel.once("data", () => tunnel.write("x"))
      const error = yield* Effect.flip(all(tunnel))
      assert.propertyVal(error, "code", "ECONNRESET")
    })
  )

  it.scopedLive("T-189 a block that is too large, or bytes behind the end, break this tunnel alone", () =>
    Effect.gen(function* () {
      let answers: ReadonlyArray<Buffer> = []
      const guest = yield* harness((stream) => {
        stream.respond({ ":status": 200 })
        for (const piece of answers) stream.write(piece)
        stream.resume()
      })
      const bad = [[Buffer.from([0, 1, 0, 1])], [block(""), block("more")]]
      for (const pieces of bad) {
        answers = pieces
        const tunnel = yield* guest.tunnel(80)
        const error = yield* Effect.flip(Effect.zipRight(all(tunnel), closed(tunnel)))
        assert.match(error.message, /broke the protocol/)
      }
      answers = [block("good"), block("")]
      assert.strictEqual(String(yield* all(yield* guest.tunnel(80))), "good")
    })
  )

  it.scopedLive("one that nobody reads holds up no other one", () =>
    Effect.gen(function* () {
      const guest = yield* harness((stream) => {
        stream.respond({ ":status": 200 })
        stream.write(block(Buffer.alloc(65_000)))
        const more = () => stream.writable && stream.write(block(Buffer.alloc(65_000)), more)
        more()
        stream.resume()
      })
      const idle: Array<Tunnel | NodeJS.ReadableStream> = []
      for (let i = 0; i < 40; i++) idle.push(yield* guest.tunnel(80))
      yield* Effect.sleep("300 millis")
      const tunnel = yield* guest.tunnel(80)
      let read = 0
      yield* Effect.async<void>((resume) => {
        tunnel.on("data", (piece: Buffer) => {
          read += piece.length
          if (read > 20_000_000) resume(Effect.void)
        })
      })
    })
  )
})

const closed = (tunnel: NodeJS.ReadableStream) =>
  Effect.async<never, Error>((resume) => void tunnel.once("error", (error: Error) => resume(Effect.fail(error))))
