import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import * as net from "node:net"
import { ask, house, listening, raw } from "./house.ts"

/** A server that counts the requests it sees and says what it got. */
const counting = () => {
  const seen: Array<{ readonly url: string; readonly headers: http.IncomingHttpHeaders }> = []
  const server = http.createServer((request, response) => {
    seen.push({ url: request.url ?? "", headers: request.headers })
    request.resume()
    request.on("end", () => response.end(`seen ${request.url}`))
  })
  return { server, seen }
}

const ready = Effect.gen(function* () {
  const { seen, server } = counting()
  const one = yield* house([{ name: "web", port: yield* listening(server) }])
  return { ...one, seen }
})

describe("what a request must be before anything is woken for it", () => {
  it.scopedLive("T-151 T-152 T-155 T-156 T-157 T-158 T-163 one reading or none: the table", () =>
    Effect.gen(function* () {
      const { port, seen, woken } = yield* ready
      const host = `Host: localhost:${port}\r\n`
      const post = (headers: string, body = "") => `POST / HTTP/1.1\r\n${host}${headers}\r\n${body}`
      const get = (headers: string) => `GET / HTTP/1.1\r\n${host}${headers}\r\n`
      const chunk = "0\r\n\r\n"
      const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
      const table: ReadonlyArray<readonly [string, string, RegExp]> = [
        ["CL and TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunk + smuggled), /400/],
        ["TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunk + smuggled), /400/],
        ...[
          "xchunked",
          "chunked, identity",
          "identity, chunked",
          "identity",
          " chunked\r\nTransfer-Encoding: x",
          "chunked\r\nTransfer-Encoding: chunked",
          "\u000bchunked",
          '"chunked"'
        ].map((te) => [`TE ${te}`, post(`Transfer-Encoding:${te}\r\n`, chunk + smuggled), /400/] as const),
        ...["-1", "+5", "5, 5", "0x5", "5 5", "5\r\nContent-Length: 6", "1e1", "", "99999999999999999999999"].map(
          (length) => [`CL ${length}`, post(`Content-Length: ${length}\r\n`, "hello"), /400/] as const
        ),
        ["no Host", "GET / HTTP/1.1\r\n\r\n", /400/],
        ["two Hosts", get(host), /400/],
        ["two Hosts, one foreign", get("Host: evil.com\r\n"), /400/],
        ["absolute form", `GET http://localhost:${port}/ HTTP/1.1\r\n${host}\r\n`, /400/],
        ["CONNECT", `CONNECT localhost:80 HTTP/1.1\r\n${host}\r\n`, /405/],
        ["TRACE", `TRACE / HTTP/1.1\r\n${host}\r\n`, /405/],
        ["asterisk form", `OPTIONS * HTTP/1.1\r\n${host}\r\n`, /400/],
        ["bare LF", `GET / HTTP/1.1\nHost: localhost:${port}\n\n`, /400/],
        ["bare CR in a value", get("A: b\rc\r\n"), /400/],
        ["space before the colon", get("Transfer-Encoding : chunked\r\n"), /400/],
        ["NUL", get("A: b\0c\r\n"), /400/],
        ["a header of 64 KiB", get(`A: ${"x".repeat(65_536)}\r\n`), /431/],
        ["3000 headers", get("A: b\r\n".repeat(3000)), /431/],
        ["201 headers", get("A: b\r\n".repeat(201)), /431/],
        ["a target of 10 KB", `GET /${"x".repeat(10_000)} HTTP/1.1\r\n${host}\r\n`, /414/],
        ["a target of 100 KB", `GET /${"x".repeat(100_000)} HTTP/1.1\r\n${host}\r\n`, /431|414/],
        ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /400/],
        ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /400/],
        ["a bad method", `FOO BAR / HTTP/1.1\r\n${host}\r\n`, /400/],
        ["TE in HTTP/1.0", `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n${chunk}`, /400/]
      ]
      for (const [what, bytes, status] of table) {
        const answer = yield* raw(port, Buffer.from(bytes, "latin1"))
        assert.match(answer.split("\r\n")[0] ?? "", status, what)
        assert.notInclude(answer, "seen", what)
      }
      assert.deepStrictEqual([seen, woken], [[], []])
    })
  )

  it.scopedLive("T-156 T-158 T-163 what is only found out later never makes a second request", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* ready
      const host = `Host: localhost:${port}\r\n`
      const post = (headers: string, body: string) => `POST / HTTP/1.1\r\n${host}${headers}\r\n${body}`
      const chunked = "Transfer-Encoding: chunked\r\n"
      const table = [
        `GET /\r\n\r\n`,
        `GET / HTTP/1.1\r\n${host}A: b\r\n c\r\n\r\n`,
        post(chunked, "-1\r\n\r\n"),
        post(chunked, "fffffffffffffffff\r\nx"),
        post(chunked, `1;${"x".repeat(20_000)}\r\na\r\n0\r\n\r\n`),
        post(chunked, "1\r\nabc\r\n0\r\n\r\n")
      ]
      for (const bytes of table) {
        seen.length = 0
        yield* raw(port, bytes, 500)
        assert.isAtMost(seen.length, 1, bytes.slice(0, 60))
        assert.notInclude(seen.map(({ url }) => url).join(" "), "smuggled")
      }
    })
  )

  it.scopedLive("T-153 T-174 a host that is not ours is 421 before anything is woken", () =>
    Effect.gen(function* () {
      const { port, woken } = yield* ready
      const names = [
        "evil.com",
        `evil.com:${port}`,
        `x.localtest:${port}`,
        `127.1:${port}`,
        `2130706433:${port}`,
        `0x7f000001:${port}`,
        `0177.0.0.1:${port}`,
        `localhost.:${port}`,
        `LOCALHOST:${port}`,
        "localhost",
        "localhost:80",
        `localhost:${port}0`,
        `evil.com#.localhost:${port}`,
        `localhost.evil.com:${port}`,
        `[::2]:${port}`
      ]
      for (const name of names) {
        const { body, status } = yield* ask(port, "/", { headers: { host: name, accept: "application/json" } })
        assert.deepInclude(JSON.parse(body), { code: "HostRefused" }, name)
        assert.strictEqual(status, 421, name)
      }
      assert.deepStrictEqual(woken, [])
      for (const name of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, `web.localhost:${port}`]) {
        assert.strictEqual((yield* ask(port, "/", { headers: { host: name } })).status, 200, name)
      }
    })
  )

  it.scopedLive(
    "T-154 T-161 T-170 a foreign page sends nothing unsafe and opens no WebSocket; AEGIS_ROUTER_ORIGINS lets one in",
    () =>
      Effect.gen(function* () {
        const { server } = counting()
        const backend = yield* listening(server)
        const { port, woken } = yield* house([{ name: "web", port: backend }], {
          AEGIS_ROUTER_ORIGINS: "http://localhost:3000"
        })
        const send = (method: string, headers: Record<string, string>) =>
          Effect.map(ask(port, "/", { method, headers }), ({ status }) => status)
        for (const origin of ["http://evil.com", "null", `http://a.localhost:${port}`, "http://localhost:3001"]) {
          assert.strictEqual(yield* send("POST", { origin }), 403, origin)
          assert.strictEqual(
            yield* send("GET", { origin, connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "x" }),
            403
          )
        }
        assert.strictEqual(yield* send("DELETE", { "sec-fetch-site": "cross-site" }), 403)
        assert.deepStrictEqual(woken, [])
        assert.strictEqual(yield* send("POST", {}), 200)
        assert.strictEqual(yield* send("POST", { origin: `http://127.0.0.1:${port}` }), 200)
        assert.strictEqual(yield* send("POST", { origin: "http://localhost:3000" }), 200)
        assert.strictEqual(yield* send("GET", { origin: "http://evil.com" }), 200)
      })
  )

  it.scopedLive(
    "T-159 T-160 T-179 headers for one hop stay there, and what only the router may say is the router's",
    () =>
      Effect.gen(function* () {
        const seen: Array<ReadonlyArray<string>> = []
        const server = http.createServer((request, response) => {
          seen.push(request.rawHeaders)
          response.writeHead(200, {
            "X-Aegis-Instance": "liar",
            Connection: "close, X-Hop",
            "X-Hop": "1",
            "X-Kept": "2",
            "Set-Cookie": ["a=1", "b=2"]
          })
          response.end("ok")
        })
        const { port, woken } = yield* house([{ name: "web", port: yield* listening(server) }])
        const { headers, status } = yield* ask(port, "/", {
          method: "POST",
          headers: {
            "X-Aegis-Instance": "web",
            "X-Aegis-Secret": "s",
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Host": "evil.com",
            Forwarded: "for=6.6.6.6",
            Connection: "close, X-Hop, Content-Length, X-Aegis-Instance",
            "X-Hop": "1",
            "Proxy-Authorization": "p",
            TE: "trailers",
            "X-Kept": "2",
            "Content-Length": "2"
          },
          body: "ab"
        })
        assert.strictEqual(status, 200)
        const got = Object.fromEntries(
          (seen[0] ?? []).flatMap((name, index, list) =>
            index % 2 === 0 ? [[name.toLowerCase(), list[index + 1]]] : []
          )
        )
        assert.deepInclude(got, {
          "x-kept": "2",
          "content-length": "2",
          "x-forwarded-for": "127.0.0.1",
          "x-forwarded-host": `127.0.0.1:${port}`,
          "x-forwarded-proto": "http",
          via: "1.1 aegis",
          host: `127.0.0.1:${port}`
        })
        for (const name of ["x-aegis-instance", "x-aegis-secret", "forwarded", "x-hop", "proxy-authorization", "te"]) {
          assert.notProperty(got, name)
        }
        assert.notProperty(headers, "x-aegis-instance")
        assert.notProperty(headers, "x-hop")
        assert.deepInclude(headers, { "x-kept": "2", "set-cookie": ["a=1", "b=2"] })
        const twice = yield* raw(
          port,
          `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nX-Aegis-Instance: web\r\nX-Aegis-Instance: other\r\n\r\n`
        )
        assert.match(twice, /^HTTP\/1.1 400 /)
        assert.deepStrictEqual(woken, ["web"])
        const h2c =
          "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        assert.match(yield* raw(port, `GET / HTTP/1.1\r\nHost: localhost:${port}\r\n${h2c}\r\n`), /^HTTP\/1.1 400 /)
      })
  )

  it.scopedLive("T-186 only 127.0.0.1 listens; S-203 the control API is not there", () =>
    Effect.gen(function* () {
      const { exposed, port } = yield* ready
      for (const one of [port, yield* exposed("web", "tcp")]) {
        const refused = yield* Effect.async<string>((resume) => {
          const socket = net.connect(one, "::1", () => resume(Effect.succeed("connected")))
          socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "")))
        })
        assert.include(["ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT"], refused)
      }
      // It is the guest's path, as any other.
      assert.strictEqual((yield* ask(port, "/v1/status")).body, "seen /v1/status")
    })
  )
})
