import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import * as net from "node:net"
import { WebSocket, WebSocketServer } from "ws"
import { ask, house, listening, raw } from "./house.ts"

/** A server that answers every request with these bytes, and closes. */
const answering = (bytes: string | Buffer) =>
  net.createServer((socket) => {
    socket.on("error", () => undefined)
    socket.once("data", () => socket.end(bytes))
  })

const until = (what: string, look: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (look() ? Effect.void : Effect.zipRight(Effect.sleep("10 millis"), until(what, look)))).pipe(
    Effect.timeoutFail({ duration: "15 seconds", onTimeout: () => new Error(`waited in vain: ${what}`) }),
    Effect.orDie
  )

const named = (name: string) => http.createServer((request, response) => response.end(`${name} ${request.url}`))

describe("what passes through the router", () => {
  it.scopedLive(
    "S-199 S-200 T-162 T-175 a request finds its instance by header, host name, path, or as the only one",
    () =>
      Effect.gen(function* () {
        const web = yield* listening(named("web"))
        const api = yield* listening(named("api"))
        const { port } = yield* house([
          { name: "web", port: web },
          { name: "api", port: api },
          { name: "v1", port: api }
        ])
        const said = (path: string, headers: Record<string, string> = {}) =>
          Effect.map(ask(port, path, { headers }), ({ body, status }) => (status === 200 ? body : String(status)))
        assert.strictEqual(yield* said("/a?b", { "x-aegis-instance": "api" }), "api /a?b")
        assert.strictEqual(yield* said("/web/a", { "x-aegis-instance": "api" }), "api /web/a")
        assert.strictEqual(yield* said("/a", { host: `web.localhost:${port}` }), "web /a")
        assert.strictEqual(yield* said("/web/web/x?y=/api/"), "web /web/x?y=/api/")
        assert.strictEqual(yield* said("/api"), "api /")
        assert.strictEqual(yield* said("/api?q"), "api /?q")
        // Nothing is decoded and nothing put together: the segment is a name or it is not.
        assert.match(
          yield* Effect.map(
            raw(port, `GET /web/../api/ HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`),
            String
          ),
          /web \/\.\.\/api\/$/
        )
        for (const path of ["/", "/%77eb/", "/%2e%2e/", "/web%2f..", "//web/", "/v1/", "/ghost/", "/WEB/"]) {
          assert.strictEqual(yield* said(path), "503", path)
        }
        assert.strictEqual(yield* said("/", { "x-aegis-instance": "ghost" }), "404")
        assert.strictEqual(yield* said("/", { host: `ghost.localhost:${port}` }), "404")
        const none = yield* ask(port, "/", { headers: { accept: "text/html" } })
        assert.strictEqual(none.headers["retry-after"], "3")
        assert.include(none.body, "<h1>503 Service Unavailable</h1>")
        const piped = ["web", "api", "web"].map(
          (name, i) => `GET /${i} HTTP/1.1\r\nHost: localhost:${port}\r\nX-Aegis-Instance: ${name}\r\n\r\n`
        )
        const answers = yield* raw(port, piped.join(""))
        assert.deepStrictEqual(answers.match(/(web|api) \/\d/g), ["web /0", "api /1", "web /2"])
      })
  )

  it.scopedLive("S-200 the only one that is not stopped is meant, and the only one that is", () =>
    Effect.gen(function* () {
      const port = yield* listening(named("it"))
      const two = yield* house([
        { name: "old", port, state: "stopped" },
        { name: "new", port }
      ])
      yield* ask(two.port, "/")
      const one = yield* house([{ name: "old", port, state: "stopped" }])
      yield* ask(one.port, "/")
      assert.deepStrictEqual([two.woken, one.woken], [["new"], ["old"]])
    })
  )

  it.scopedLive("bodies, trailers, early answers and streams pass as they come, on a connection that is kept", () =>
    Effect.gen(function* () {
      let events: http.ServerResponse | undefined
      const server = http.createServer((request, response) => {
        if (request.url === "/events") {
          events = response.writeHead(200, { "content-type": "text/event-stream" })
          response.write("data: 1\n\n")
          return
        }
        const pieces: Array<Buffer> = []
        request.on("data", (piece: Buffer) => pieces.push(piece))
        request.on("end", () => {
          response.writeHead(201, "Fine", { Trailer: "X-Sum", "Transfer-Encoding": "chunked" })
          response.write(Buffer.concat(pieces))
          response.addTrailers({ "X-Sum": `${request.trailers["x-check"]}` })
          response.end()
        })
      })
      const { opened, port } = yield* house([{ name: "web", port: yield* listening(server) }])
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      for (let i = 0; i < 3; i++) {
        const body = Buffer.alloc(300_000, "x")
        const answer = yield* ask(port, "/", {
          method: "POST",
          agent,
          body,
          headers: { "transfer-encoding": "chunked", trailer: "X-Check" },
          trailers: { "X-Check": "sum" }
        })
        assert.strictEqual(answer.body.length, 300_000)
        assert.deepInclude(answer, { status: 201, trailers: { "x-sum": "sum" } })
      }
      agent.destroy()
      assert.match(
        yield* raw(
          port,
          `POST / HTTP/1.1\r\nHost: localhost:${port}\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`
        ),
        /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201 Fine\r\n/
      )
      const first = yield* Effect.async<http.IncomingMessage>((resume) => {
        http.get({ port, host: "127.0.0.1", path: "/events", agent: false }, (answer) => resume(Effect.succeed(answer)))
      })
      let got = ""
      first.on("data", (piece: Buffer) => (got += piece.toString()))
      yield* until("the first event is there before the second is sent", () => got === "data: 1\n\n")
      assert.strictEqual(opened(), 1)
      events?.write("data: 2\n\n")
      yield* until("the second event", () => got.endsWith("data: 2\n\n"))
      first.destroy()
      yield* until("T-167 the connection of a client that went is given back", () => opened() === 0)
    })
  )

  it.scopedLive("T-181 a WebSocket's messages pass both ways, and its close", () =>
    Effect.gen(function* () {
      const server = http.createServer()
      const sockets = new WebSocketServer({ server })
      sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })))
      const { opened, port } = yield* house([{ name: "web", port: yield* listening(server) }])
      const large = Buffer.alloc(3_000_000, 7)
      const got = yield* Effect.async<ReadonlyArray<string>>((resume) => {
        const client = new WebSocket(`ws://localhost:${port}/`, { family: 4 })
        const seen: Array<string> = []
        client.on("open", () => {
          client.send("hello")
          client.send(large)
        })
        client.on("message", (data: Buffer, binary) => {
          seen.push(binary ? String(data.equals(large)) : data.toString())
          if (seen.length === 2) client.close(4001, "done")
        })
        client.on("close", (code, reason) => resume(Effect.succeed([...seen, `${code} ${reason.toString()}`])))
      })
      assert.deepStrictEqual(got, ["hello", "true", "4001 done"])
      yield* until("the connection is given back", () => opened() === 0)
    })
  )

  it.scopedLive(
    "T-161 an upgrade that the guest does not grant is an ordinary answer; one that is none is refused",
    () =>
      Effect.gen(function* () {
        const server = named("web")
        server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"))
        const { port, woken } = yield* house([{ name: "web", port: yield* listening(server) }])
        const upgrade = (headers: string) =>
          raw(
            port,
            `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: Upgrade\r\n${headers}\r\nGET /smuggled HTTP/1.1\r\n\r\n`
          )
        assert.match(yield* upgrade("Upgrade: websocket\r\n"), /^HTTP\/1.1 400 /)
        assert.match(yield* upgrade("Upgrade: x, y\r\n"), /^HTTP\/1.1 400 /)
        assert.match(yield* upgrade("Upgrade: x\r\nContent-Length: 3\r\n"), /^HTTP\/1.1 400 /)
        assert.deepStrictEqual(woken, [])
        const refused = yield* upgrade("Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        assert.match(refused, /^HTTP\/1.1 200 OK\r\n[^]*\r\n\r\nno$/)
      })
  )

  it.scopedLive("T-169 T-178 what no answer may be is 502, and silence 504", () =>
    Effect.gen(function* () {
      const table: ReadonlyArray<readonly [string, string]> = [
        ["not HTTP", "SSH-2.0-OpenSSH\r\n"],
        ["a bad status line", "HTTP/1.1 abc OK\r\n\r\n"],
        ["CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
        ["large headers", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(1_000_000)}\r\n\r\n`],
        ["100 that nobody waits for", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
        ["a flood of 1xx", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)],
        ["101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
        ["nothing", ""]
      ]
      for (const [what, bytes] of table) {
        const { port } = yield* house([{ name: "web", port: yield* listening(answering(bytes)) }])
        const { body, status } = yield* ask(port, "/", { headers: { accept: "application/json" } })
        assert.strictEqual(status, 502, what)
        assert.deepInclude(JSON.parse(body), { code: "BadGateway" })
      }
      const endless = yield* house([
        { name: "web", port: yield* listening(answering("HTTP/1.1 200 OK\r\n\r\nto the end")) }
      ])
      assert.deepInclude(yield* ask(endless.port, "/"), { status: 200, body: "to the end" })
      const cut = yield* house([
        { name: "web", port: yield* listening(answering("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut")) }
      ])
      assert.isTrue((yield* Effect.either(ask(cut.port, "/")))._tag === "Left")
      const deaf = net.createServer(() => undefined)
      const silent = yield* house([{ name: "web", port: yield* listening(deaf) }], {
        AEGIS_ROUTER_ANSWER_SECONDS: "0.3"
      })
      assert.strictEqual((yield* ask(silent.port, "/")).status, 504)
      yield* until("it is given back", () => silent.opened() === 0)
      const gone = yield* house([{ name: "web", port: 1 }])
      assert.strictEqual((yield* ask(gone.port, "/")).status, 502)
    })
  )

  it.scopedLive(
    "T-164 T-165 who dawdles with a head is cut off, and others are served meanwhile",
    () =>
      Effect.gen(function* () {
        const { opened, port } = yield* house([{ name: "web", port: yield* listening(named("web")) }])
        const slow = Array.from({ length: 50 }, () => net.connect(port, "127.0.0.1"))
        let cut = 0
        for (const socket of slow) {
          socket.write("GET / HTTP/1.1\r\nA:")
          socket.on("error", () => undefined)
          socket.on("close", () => (cut += 1))
          socket.resume()
        }
        assert.strictEqual((yield* ask(port, "/")).status, 200)
        yield* until("all are cut off", () => cut === 50)
        assert.strictEqual(opened(), 0)
      }),
    60_000
  )

  it.scopedLive("S-202 T-168 T-169 T-183 a tcp port carries bytes: halves end alone, and a reset is a reset", () =>
    Effect.gen(function* () {
      const backend = net.createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => undefined)
        let count = 0
        socket.once("data", (first: Buffer) => {
          if (first.toString() === "reset") return socket.resetAndDestroy()
          if (first.toString() === "end first") socket.end("my end")
        })
        socket.on("data", (piece: Buffer) => (count += piece.length))
        socket.on("end", () => socket.writable && socket.end(`got ${count}`))
      })
      const { exposed, opened } = yield* house([{ name: "db", port: yield* listening(backend) }])
      const port = yield* exposed("db", "tcp")
      const talk = (work: (socket: net.Socket) => void) =>
        Effect.async<string>((resume) => {
          const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => work(socket))
          let text = ""
          socket.on("data", (piece: Buffer) => (text += piece.toString()))
          socket.on("end", () => {
            socket.end("more")
            resume(Effect.succeed(text))
          })
          socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "")))
        })
      assert.strictEqual(yield* talk((socket) => void socket.end(Buffer.alloc(5_000_000))), "got 5000000")
      assert.strictEqual(yield* talk((socket) => void socket.write("end first")), "my end")
      assert.strictEqual(yield* talk((socket) => void socket.write("reset")), "ECONNRESET")
      yield* until("all connections are given back", () => opened() === 0)
    })
  )

  it.scopedLive(
    "D-14 T-182 ports are taken again; one that somebody else has is another, and one that was asked for is that or none",
    () =>
      Effect.gen(function* () {
        const { listeners } = yield* house([])
        const taken = yield* listening(net.createServer())
        const { Exposure, InstanceId, PortBinding } = yield* Effect.promise(() => import("@aegis/domain"))
        const id = InstanceId.make("inst-9")
        const web = new Exposure({ port: 80, protocol: "http" })
        const { bindings } = yield* listeners.open(id, [web, new Exposure({ port: 81, protocol: "tcp" })], [])
        assert.isTrue(bindings.every(({ host }) => host >= 49_152))
        yield* listeners.close(id)
        assert.deepStrictEqual(yield* listeners.open(id, [web], bindings.slice(0, 1)), {
          bindings: bindings.slice(0, 1),
          lost: []
        })
        const other = InstanceId.make("inst-10")
        const before = new PortBinding({ guest: 80, host: taken, protocol: "http" })
        const moved = yield* listeners.open(other, [web], [before])
        assert.deepStrictEqual(
          moved.lost.map(({ from }) => from),
          [before]
        )
        assert.notStrictEqual(moved.bindings[0]?.host, taken)
        const asked = yield* Effect.flip(
          listeners.open(other, [new Exposure({ port: 80, protocol: "http", hostPort: taken })], [])
        )
        assert.deepInclude(asked, { _tag: "PortTaken", port: taken })
      })
  )
})
