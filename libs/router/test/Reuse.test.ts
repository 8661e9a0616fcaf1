import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import * as net from "node:net"
import { ask, house, listening, raw } from "./house.ts"

const whole = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

interface Heard {
  /** The connection's number, from 1. */
  readonly connection: number
  /** Which request of the connection it is, from 1. */
  readonly nth: number
  readonly head: string
}

/** A server of raw bytes that keeps its connections: what it answers each request with; nothing closes the connection. */
const keeping = (answer: (heard: Heard, socket: net.Socket) => string | undefined) => {
  let connections = 0
  const heard: Array<Heard> = []
  const server = net.createServer((socket) => {
    const connection = ++connections
    let nth = 0
    socket.on("error", () => undefined)
    socket.on("data", (bytes: Buffer) => {
      const one = { connection, nth: ++nth, head: bytes.toString() }
      heard.push(one)
      const said = answer(one, socket)
      if (said === undefined) socket.destroy()
      else socket.write(said)
    })
  })
  return { server, heard, connections: () => connections }
}

const started = (answer: Parameters<typeof keeping>[0]) =>
  Effect.gen(function* () {
    const guest = keeping(answer)
    const router = yield* house([{ name: "web", port: yield* listening(guest.server) }])
    return { ...guest, ...router }
  })

describe("tunnels that requests share", () => {
  it.scopedLive(
    "S-199 requests that may be made again go one after the other over one, at the same time over several",
    () =>
      Effect.gen(function* () {
        const { connections, counted, heard, opened, port } = yield* started(({ head }) =>
          whole(head.split(" ")[1] ?? "")
        )
        for (const path of ["/1", "/2", "/3"]) assert.strictEqual((yield* ask(port, path)).body, path)
        assert.deepStrictEqual([connections(), opened()], [1, 0])
        assert.include(heard[0]?.head.toLowerCase(), "connection: keep-alive")
        const many = Array.from({ length: 5 }, (_, index) => `/many/${index}`)
        const bodies = yield* Effect.forEach(many, (path) => ask(port, path), { concurrency: "unbounded" })
        assert.deepStrictEqual(
          bodies.map(({ body }) => body),
          many
        )
        assert.isAtMost(connections(), 5)
        assert.strictEqual(counted.get("requests"), 8)
      })
  )

  it.scopedLive("T-155 what has a body, or changes something, has a connection of its own", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* started(() => whole("ok"))
      yield* ask(port, "/")
      for (const method of ["POST", "PUT", "DELETE", "PATCH"]) yield* ask(port, "/", { method, body: "x" })
      yield* ask(port, "/", { method: "DELETE" })
      assert.strictEqual(connections(), 6)
    })
  )

  it.scopedLive(
    "S-201 one that the guest closes before it answers is no failure: the request is made again, once",
    () =>
      Effect.gen(function* () {
        const { connections, counted, port } = yield* started(({ nth }) => (nth === 1 ? whole("ok") : undefined))
        assert.strictEqual((yield* ask(port, "/")).body, "ok")
        assert.strictEqual((yield* ask(port, "/")).body, "ok")
        assert.deepStrictEqual([connections(), counted.get("requests"), counted.get("errors")], [2, 2, undefined])
        const deaf = yield* started(() => undefined)
        assert.strictEqual((yield* ask(deaf.port, "/")).status, 502)
        assert.strictEqual(deaf.connections(), 1)
      })
  )

  it.scopedLive("T-169 T-178 an answer that comes before its request is nobody's", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* started(({ connection }, socket) => {
        if (connection === 1) setTimeout(() => socket.write(whole("poison")), 50)
        return whole("ok")
      })
      assert.strictEqual((yield* ask(port, "/")).body, "ok")
      yield* Effect.sleep("200 millis")
      assert.strictEqual((yield* ask(port, "/")).body, "ok")
      assert.strictEqual(connections(), 2)
      // Together with the answer that it follows, it spoils the connection as well.
      const glued = yield* started(() => whole("ok") + whole("poison"))
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* ask(glued.port, "/")).body, "ok")
      assert.strictEqual(glued.connections(), 3)
    })
  )

  it.scopedLive("early hints, trailers, heads alone, and bodies that are read slowly pass over one that is kept", () =>
    Effect.gen(function* () {
      const large = Buffer.alloc(20_000_000, "0123456789")
      let connections = 0
      const server = http.createServer((request, response) => {
        if (request.url === "/large") return void response.end(large)
        response.writeEarlyHints({ link: "</style.css>; rel=preload" })
        response.writeHead(200, "Fine", { Trailer: "X-Sum", "Transfer-Encoding": "chunked" })
        response.write("body")
        response.addTrailers({ "X-Sum": "4" })
        response.end()
      })
      server.on("connection", () => (connections += 1))
      const { counted, opened, port } = yield* house([{ name: "web", port: yield* listening(server) }])
      const get = `GET / HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`
      const hinted =
        /^HTTP\/1.1 103 Early Hints\r\nLink: <\/style.css>; rel=preload\r\n\r\nHTTP\/1.1 200 Fine\r\n[^]*\r\nbody\r\n0\r\nX-Sum: 4\r\n\r\n$/
      for (let i = 0; i < 2; i++) assert.match(yield* raw(port, get, 300), hinted)
      const slow = yield* Effect.async<Buffer>((resume) => {
        http.get({ port, host: "127.0.0.1", path: "/large", agent: false }, (answer) => {
          const pieces: Array<Buffer> = []
          answer.on("data", (piece: Buffer) => {
            if (pieces.push(piece) % 20 !== 0) return
            answer.pause()
            setTimeout(() => answer.resume(), 2)
          })
          answer.on("end", () => resume(Effect.succeed(Buffer.concat(pieces))))
        })
      })
      assert.isTrue(slow.equals(large))
      assert.deepStrictEqual([connections, opened()], [1, 0])
      assert.isAbove(counted.get("sent") ?? 0, large.length)
      assert.deepInclude(yield* ask(port, "/large", { method: "HEAD" }), { status: 200, body: "" })
      assert.strictEqual((yield* ask(port, "/")).body, "body")
    })
  )

  it.scopedLive("one that nobody has used for a while is closed, and an answer that is cut off leaves none", () =>
    Effect.gen(function* () {
      const { connections, port, server } = yield* started(() => whole("ok"))
      yield* ask(port, "/")
      const open = Effect.async<number>((resume) => {
        server.getConnections((_, count) => resume(Effect.succeed(count)))
      })
      assert.strictEqual(yield* open, 1)
      yield* Effect.sleep("5 seconds")
      assert.strictEqual(yield* open, 0)
      yield* ask(port, "/")
      assert.strictEqual(connections(), 2)
      const short = yield* started(() => `${whole("ok").replace("Length: 2", "Length: 9")}`)
      const left = yield* Effect.exit(Effect.timeout(ask(short.port, "/"), "300 millis"))
      assert.isTrue(left._tag === "Failure")
      assert.strictEqual(short.connections(), 1)
    })
  )
})
