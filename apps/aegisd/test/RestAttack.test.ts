/**
 * What a program that means ill, or is broken, sends to the daemon's socket.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { BackendChoice, VerdictCache } from "@aegis/vm"
import { Router } from "@aegis/router"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { runtime } from "../../../libs/instances/test/runtime.ts"
import { guardConnections } from "../src/Connections.ts"
import { History, NamedWorkspaces, Secrets } from "@aegis/runtime"
import { withJsonBody } from "../src/JsonBody.ts"
import { rest } from "../src/Rest.ts"

const directory = mkdtempSync(path.join(tmpdir(), "aegisd-attack-"))
const socket = path.join(directory, "s")
const cap = 20

const http = createServer({ headersTimeout: 1_000, requestTimeout: 0, connectionsCheckingInterval: 100 })

/** Says how long its body was, and waits for it only for a moment. */
const impatient = HttpLayerRouter.add(
  "POST",
  "/impatient",
  withJsonBody(Effect.dieMessage("the body was not waited for"), Duration.millis(300))
)

const served = HttpLayerRouter.serve(
  Layer.mergeAll(
    rest,
    impatient,
    Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sync(() => http.closeAllConnections())))
  ),
  { disableLogger: true, disableListenLog: true }
).pipe(
  Layer.provide(NodeHttpServer.layer(() => http, { path: socket })),
  Layer.provide(Layer.succeed(Router, { state: { _tag: "RouterDown", reason: "", remedy: "" } })),
  Layer.provide(Layer.provide(BackendChoice.layer([]), VerdictCache.layerNone)),
  Layer.provide(Layer.provideMerge(Layer.mergeAll(History.layer, NamedWorkspaces.layer, Secrets.layer), runtime())),
  Layer.provide(Logger.minimumLogLevel(LogLevel.None))
)

/** Sends bytes and gives all that comes back until the connection is closed, or `enough` of it. */
const send = (
  parts: ReadonlyArray<string | Buffer>,
  enough: (text: string) => boolean = () => false,
  between = 0
): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    const connection = net.connect(socket)
    const give = () => {
      connection.destroy()
      resolve(text)
    }
    connection.on("error", (error: NodeJS.ErrnoException) =>
      // What it did not want to read it may reset.
      error.code === "EPIPE" || error.code === "ECONNRESET" ? give() : reject(error)
    )
    connection.on("close", give)
    connection.setTimeout(10_000, () => reject(new Error(`the connection stays open after ${JSON.stringify(text)}`)))
    connection.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1")
      if (enough(text)) give()
    })
    void (async () => {
      for (const part of parts) {
        if (connection.destroyed) return
        await new Promise((next) => connection.write(part, next))
        if (between > 0) await new Promise((next) => setTimeout(next, between))
      }
    })()
  })

const head = (method: string, route: string, ...headers: ReadonlyArray<string>) =>
  [`${method} ${route} HTTP/1.1`, "Host: aegis", ...headers, "", ""].join("\r\n")

/** One request and its answer, on a connection that ends with it. */
const ask = async (method: string, route: string, body?: string | Buffer, ...headers: ReadonlyArray<string>) => {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const typed = body === undefined || headers.some((one) => one.startsWith("Content-Type")) ? [] : [json]
  const text = await send([
    head(method, route, "Connection: close", ...typed, ...headers, ...length),
    ...(body === undefined ? [] : [body])
  ])
  const [top = "", ...rest] = text.split("\r\n\r\n")
  const said = rest.join("\r\n\r\n")
  const code = /"code":"(\w+)"/.exec(said)?.[1]
  return { status: Number(top.split(" ")[1]), head: top.toLowerCase(), body: said, code }
}
const json = "Content-Type: application/json"
const create = (body: string | Buffer, ...headers: ReadonlyArray<string>) =>
  ask("POST", "/v1/instances", body, ...headers)
const verdict = ({ code, status }: { status: number; code: string | undefined }) => `${status} ${code}`

describe("REST under attack", () => {
  const scope = Effect.runSync(Scope.make())
  beforeAll(async () => {
    Effect.runSync(guardConnections(http, socket, cap))
    await Effect.runPromise(Layer.buildWithScope(served, scope))
  })
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true })
  })

  it("T-21 what is not one JSON object in UTF-8 is InvalidJson, and its text is not quoted", async () => {
    for (const body of [
      ...["{", "null", "[]", "7", '"planted"', "{}{}", '{"command":["true"]} x', "\ufeff{}", "planted", "{'a':1}"],
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
    ]) {
      const refused = await create(body)
      assert.strictEqual(verdict(refused), "400 InvalidJson", String(body))
      assert.notInclude(refused.body, "planted")
    }
    assert.strictEqual((await create("")).status, 400)
  })

  it("T-22 of duplicate keys the last counts, on every route", async () => {
    const twice = await create('{"command":["a"],"handle":"first","command":["exit","0"],"handle":"second"}')
    assert.strictEqual(twice.status, 201, twice.body)
    assert.include(twice.body, '"handle":"second"')
    const secret = await ask("PUT", "/v1/secrets/K", '{"value":"a","value":""}')
    assert.strictEqual(verdict(secret), "400 InvalidArgument")
  })

  it("T-23 T-24 a field that nobody knows is refused by its name, __proto__ as well, and no prototype is touched", async () => {
    for (const [body, name] of [
      ['{"command":["true"],"memroy_mb":64}', "memroy_mb"],
      ['{"command":["true"],"__proto__":{"polluted":1}}', "__proto__"],
      ['{"command":["true"],"constructor":{"prototype":{"polluted":1}}}', "constructor"],
      ['{"command":["true"],"env":{"__proto__":{"polluted":"1"}}}', "env"]
    ] as const) {
      const refused = await create(body)
      assert.strictEqual(verdict(refused), "400 InvalidArgument", body)
      assert.include(refused.body, name)
    }
    assert.isFalse("polluted" in {})
    assert.strictEqual(verdict(await ask("PUT", "/v1/secrets/K", '{"value":"a","valeu":"b"}')), "400 InvalidArgument")
  })

  it("T-25 nesting is counted before it is gone down into", async () => {
    const deep = (times: number) => `{"env":${"[".repeat(times)}${"]".repeat(times)}}`
    assert.strictEqual(verdict(await create(deep(200_000))), "400 InvalidJson")
    assert.strictEqual(verdict(await create(deep(64))), "400 InvalidJson")
    assert.strictEqual(verdict(await create(deep(63))), "400 InvalidArgument")
    // Brackets in a string are none.
    const text = await create(JSON.stringify({ command: ["exit", "0"], env: { A: '[{"\\'.repeat(100) } }))
    assert.strictEqual(text.status, 201)
  })

  it("T-26 what is too large is 413 however it is sent, and what follows on its connection is not read", async () => {
    const large = Buffer.alloc(11 * 1024 * 1024, " ")
    assert.strictEqual(verdict(await create(large)), "413 BodyTooLarge")
    const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`
    const before = process.memoryUsage().rss
    const endless = await send([
      head("POST", "/v1/instances", json, "Transfer-Encoding: chunked"),
      ...Array.from({ length: 2000 }, () => chunk)
    ])
    assert.match(endless, /^HTTP\/1\.1 413 /)
    assert.include(endless.toLowerCase(), "\r\nconnection: close\r\n")
    assert.strictEqual(endless.split("HTTP/1.1").length, 2)
    assert.isBelow(process.memoryUsage().rss - before, 100 * 1024 * 1024)
    // Less than it says: the rest is the next request's, which is none.
    const short = await send([head("POST", "/v1/instances", json, "Content-Length: 2"), '{}{"command":["true"]}'])
    assert.match(short, /^HTTP\/1\.1 400 /)
    assert.notInclude(short, "201 Created")
  })

  it("T-27 a body that does not come to its end is 408, and its connection is closed", async () => {
    const slow = [head("POST", "/impatient", json, "Content-Length: 100"), ..."x".repeat(20)]
    const answer = await send(slow, undefined, 50)
    assert.match(answer, /^HTTP\/1\.1 408 /)
    assert.include(answer, "RequestTimeout")
    // More is promised than comes.
    assert.match(await send([head("POST", "/impatient", json, "Content-Length: 9"), "{}"]), /^HTTP\/1\.1 408 /)
  })

  it("T-28 another type, encoding or compression is 415, and nothing is unpacked", async () => {
    const body = '{"command":["true"]}'
    for (const headers of [
      ["Content-Type: text/plain"],
      ["Content-Type: application/x-www-form-urlencoded"],
      ["Content-Type: multipart/form-data; boundary=x"],
      ["Content-Type: application/json; charset=utf-16"],
      [json, "Content-Encoding: gzip"],
      ["Content-Type: "]
    ]) {
      assert.strictEqual(verdict(await create(body, ...headers)), "415 UnsupportedMediaType", headers.join())
    }
    const fine = await create('{"command":["exit","0"]}', "Content-Type: application/json; charset=UTF-8")
    assert.strictEqual(fine.status, 201)
  })

  it("T-33 ports that are none, twice the same, or too many", async () => {
    const with_ = (exposes: unknown) => create(JSON.stringify({ command: ["true"], exposes }))
    for (const exposes of [[0], [-1], [65_536], [1.5], ["80/sctp"], ["x"], [80, 80], "80", [null]]) {
      assert.strictEqual(verdict(await with_(exposes)), "400 InvalidArgument", JSON.stringify(exposes))
    }
  })

  it("T-34 a handle that looks like an id is refused", async () => {
    for (const handle of ["inst-1", "inst-1234567890123456789", "INST-7"]) {
      const refused = await create(JSON.stringify({ command: ["true"], handle }))
      assert.strictEqual(verdict(refused), "400 InvalidArgument", handle)
    }
  })

  it("T-36 a path's segment is a name and never a way through files", async () => {
    const names = ["%2e%2e", "..%2F..%2Fetc%2Fpasswd", "%00", "..;", "a%2Fb", "x".repeat(10_000), "%ff", "%"]
    for (const name of names) {
      for (const route of [`/v1/instances/${name}`, `/v1/instances/${name}/wait`]) {
        const answer = await ask("GET", route)
        assert.include([400, 404, 431], answer.status, route)
        assert.notInclude(answer.body, "root:")
      }
    }
    assert.strictEqual((await ask("GET", "/v1/instances/../../etc/passwd")).status, 404)
  })

  it("T-37 T-38 another method is 405 with those that there are, another route 404; no body to HEAD, OPTIONS, TRACE", async () => {
    const wrong = await ask("PATCH", "/v1/instances")
    assert.strictEqual(verdict(wrong), "405 MethodNotAllowed")
    assert.include(wrong.head, "\r\nallow: post, get, head")
    assert.include(wrong.head, "\r\ncontent-type: application/json")
    assert.strictEqual(verdict(await ask("DELETE", "/v1/status")), "405 MethodNotAllowed")
    for (const route of ["/", "/v1", "/v2/instances", "/v1/instances/a/b/c", "/v1/nothing?x=1"]) {
      assert.strictEqual(verdict(await ask("GET", route)), "404 RouteNotFound", route)
      assert.strictEqual(verdict(await ask("POST", route, "{}")), "404 RouteNotFound", route)
    }
    for (const [method, route, status] of [
      ["OPTIONS", "/v1/instances", 405],
      ["TRACE", "/v1/instances", 404],
      ["HEAD", "/v1/instances", 200],
      ["HEAD", "/nothing", 404],
      ["OPTIONS", "/nothing", 404]
    ] as const) {
      const answer = await ask(method, route)
      // Of no content there may be one empty chunk.
      assert.deepStrictEqual(
        [answer.status, answer.body.replace(/^0\r\n\r\n$/, "")],
        [status, ""],
        `${method} ${route}`
      )
    }
  })

  it("T-39 what is no time and no number is 400", async () => {
    await create('{"command":["exit","0"],"handle":"timely"}')
    for (const query of ["since=yesterday", "since=-1", "after=-1", "after=x", "after=1.5", "follow=perhaps"]) {
      assert.strictEqual(verdict(await ask("GET", `/v1/events?${query}`)), "400 InvalidArgument", query)
    }
    for (const query of ["timeout=-1s", "timeout=1000000000000", "timeout=x"]) {
      const refused = await ask("POST", `/v1/instances/timely/stop?${query}`)
      assert.strictEqual(verdict(refused), "400 InvalidArgument", query)
    }
  })

  it("T-42 many connections that say nothing: the oldest are told so and closed, and the daemon answers", async () => {
    const told: Array<string> = []
    const idle = Array.from({ length: 200 }, () => {
      const connection = net.connect(socket)
      connection.on("error", () => undefined)
      connection.on("data", (bytes: Buffer) => told.push(bytes.toString()))
      return connection
    })
    await Promise.all(idle.map((one) => new Promise((resolve) => one.once("connect", resolve).once("error", resolve))))
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask("GET", "/v1/instances")))
    for (const { status } of answers) assert.strictEqual(status, 200)
    assert.isAtLeast(told.length, 200 - cap)
    for (const one of told) assert.match(one, /^HTTP\/1\.1 503 [^]*"TooManyConnections"/)
    for (const one of idle) one.destroy()
  })

  it("T-43 a head that does not come to its end is given up", async () => {
    const slow = ["GET /v1/status HTTP/1.1\r\n", ..."X-Slow: ".repeat(20)]
    // More may come while it is closed, which resets it before the answer is read.
    assert.match(await send(slow, undefined, 50), /^(HTTP\/1\.1 408 |$)/)
  })

  it("T-44 a message that two readers could read in two ways is refused, and nothing hides in it", async () => {
    const hidden =
      "POST /v1/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    const smuggled = `${hidden}{"command":["true"]}`
    for (const lines of [
      ["Content-Length: 5", "Transfer-Encoding: chunked"],
      ["Content-Length: 5", "Content-Length: 6"],
      ["Content-Length: +5"],
      ["Content-Length: 5 "].map((one) => one.replace(": 5", " : 5")),
      ["Transfer-Encoding: chunked, identity"],
      ["Transfer-Encoding: xchunked"],
      ["Transfer-Encoding : chunked"],
      ["X: a\r\n Transfer-Encoding: chunked"]
    ]) {
      const answer = await send([
        head("POST", "/v1/instances/nobody/stop", ...lines),
        `0\r\n\r\n${smuggled}`,
        "\r\n\r\n"
      ])
      assert.match(answer, /^HTTP\/1\.1 4(00|15) /, lines.join())
      // The first is refused, and what comes after it on its connection is no request.
      assert.strictEqual(answer.split("HTTP/1.1").length, 2, lines.join())
    }
  })

  it("T-48 as long as others could reach the socket nobody is served, and they are kept out by its directory alone", async () => {
    chmodSync(socket, 0o666)
    assert.strictEqual((await ask("GET", "/v1/instances")).status, 200)
    /** What another user gets to read. */
    const asNobody = () =>
      new Promise<string>((resolve) =>
        execFile(
          "setpriv",
          ["--reuid", "65534", "--clear-groups", "curl", "-s", "--unix-socket", socket, "http://a/v1/instances"],
          (_, said) => resolve(said)
        )
      )
    if (process.getuid?.() === 0) assert.strictEqual(await asNobody(), "")
    chmodSync(directory, 0o755)
    assert.strictEqual(verdict(await ask("GET", "/v1/instances")), "403 PeerRefused")
    if (process.getuid?.() === 0) assert.include(await asNobody(), "PeerRefused")
    chmodSync(directory, 0o700)
    chmodSync(socket, 0o600)
    assert.strictEqual((await ask("GET", "/v1/instances")).status, 200)
  })
})
