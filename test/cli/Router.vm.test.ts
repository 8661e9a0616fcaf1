import * as http from "node:http"
import * as net from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { WebSocket } from "ws"
import { inState, killDaemon, linesOf, rest } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

/** Python's own server, with room for many who come at once. */
const web = `import http.server, socketserver
class S(http.server.ThreadingHTTPServer): request_queue_size = 512
class H(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  def do_GET(self):
    body = (self.path + " " + self.headers["Host"]).encode()
    self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
  def do_POST(self):
    n = 0
    while n < int(self.headers["Content-Length"]): n += len(self.rfile.read(min(65536, int(self.headers["Content-Length"]) - n)))
    body = str(n).encode()
    self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
  def log_message(self, *a): pass
S(("", 80), H).serve_forever()`

/** A WebSocket of RFC 6455 that says what it hears, for short texts; and on port 81 a server that answers when its client has ended. */
const sockets = `import socket, threading, hashlib, base64
def ws(c):
  head = b""
  while b"\\r\\n\\r\\n" not in head: head += c.recv(4096)
  key = [l.split(b": ")[1] for l in head.split(b"\\r\\n") if l.lower().startswith(b"sec-websocket-key")][0]
  ok = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
  c.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + ok + b"\\r\\n\\r\\n")
  while True:
    f = c.recv(4096)
    if len(f) < 6: return
    n = f[1] & 127; mask = f[2:6]
    c.sendall(bytes([f[0], n]) + bytes(b ^ mask[i % 4] for i, b in enumerate(f[6:6+n])))
def count(c):
  n = 0
  while True:
    d = c.recv(65536)
    if not d: break
    n += len(d)
  c.sendall(b"got %d" % n); c.close()
def serve(port, f):
  s = socket.create_server(("", port), backlog=64)
  while True: threading.Thread(target=f, args=(s.accept()[0],), daemon=True).start()
threading.Thread(target=serve, args=(81, count), daemon=True).start()
serve(80, ws)`

interface Answer {
  readonly status: number | undefined
  readonly body: string
}

const get = (url: string, headers: Record<string, string> = {}, body?: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const call = http.request(url, { headers, agent: false, method: body === undefined ? "GET" : "POST" }, (answer) => {
      let text = ""
      answer.on("data", (piece) => (text += piece))
      answer.on("end", () => resolve({ status: answer.statusCode, body: text }))
      answer.on("error", reject)
    })
    call.on("error", reject)
    call.end(body)
  })

describe("the router, in front of real guests", () => {
  let aegis: Product
  let router = ""
  beforeAll(async () => {
    aegis = await Product.make()
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(() => aegis.remove())

  const says = (...args: ReadonlyArray<string>) => aegis.says(...args)
  const info = async (target: string) => (await rest(aegis, "GET", `/v1/instances/${target}`)).body
  const hostPort = async (target: string, guest: number): Promise<number> =>
    (await info(target)).endpoints.find((one: { readonly guest: number }) => one.guest === guest)?.host
  const started = async (target: string) =>
    (await rest(aegis, "GET", `/v1/events?target=${target}`)).body.filter(
      (one: { readonly data: { readonly _tag: string } }) => one.data._tag === "InstanceStarted"
    ).length

  it("S-065 S-198 S-199 run --expose says where it serves once the port answers, and the sole instance is there", async () => {
    const run = aegis.start(["run", "--expose", "80", "--", "python3", "-m", "http.server", "80"])
    const address = await until("it serves", () => /^Serving on (http:\/\/127\.0\.0\.1:\d+)\n/m.exec(run.stdout())?.[1])
    const { body, status } = await get(address)
    assert.strictEqual(status, 200)
    assert.include(body, "Directory listing for /")
    run.child.kill("SIGINT")
    assert.strictEqual((await run.ended).code, 130)
    assert.strictEqual((await get(address)).status, 503)
    router = address
  })

  it("S-085 S-105 S-106 S-107 S-110 S-202 start prints the router, info the endpoints, and use shows", async () => {
    const printed = await says(
      ...["instance", "start", "--name", "web", "--memory", "128", "--expose", "80", "--", "python3", "-c", web]
    )
    assert.match(printed, /^Instance started: inst-\d+\nHandle: web\nRouter: http:\/\/127\.0\.0\.1:\d+\n$/)
    // It is starting: the first request waits and is not lost (S-201).
    assert.deepStrictEqual(await get(`${router}/web/x?y`), { status: 200, body: `/x?y ${new URL(router).host}` })
    const host = await hostPort("web", 80)
    assert.match(
      await says("instance", "info", "web"),
      new RegExp(`^Ports: {7}80\nEndpoints:\n {2}:80 → :${host} \\(http\\)\nConnections: 0\nCreated: `, "m")
    )
    assert.deepStrictEqual(await get(`http://127.0.0.1:${host}/p`), { status: 200, body: `/p 127.0.0.1:${host}` })
    const named = { host: `web.localhost:${new URL(router).port}` }
    assert.strictEqual((await get(router, named)).status, 200)
    assert.strictEqual((await get(router, { "x-aegis-instance": "web" })).status, 200)
    assert.strictEqual((await get(router, { host: "evil.com" })).status, 421)
    const before = Date.parse((await info("web")).last_active_at)
    await until("Last Active advances", async () => {
      await get(`${router}/web/`)
      return Date.parse((await info("web")).last_active_at) > before
    })
    const open = net.connect(host, "127.0.0.1")
    open.write("POST / HTTP/1.1\r\nHost: 127.0.0.1:" + host + "\r\nContent-Length: 5\r\n\r\n")
    await until("the connection is counted", async () => (await info("web")).active_connections === 1)
    open.destroy()
    await until("and given back", async () => (await info("web")).active_connections === 0)
    const posted = await get(`${router}/web/`, {}, Buffer.alloc(20_000_000))
    assert.deepStrictEqual(posted, { status: 200, body: "20000000" })
  })

  it("S-201 T-185 a paused one is resumed by a request", async () => {
    await says("instance", "pause", "web")
    assert.strictEqual((await get(`${router}/web/`)).status, 200)
    assert.strictEqual((await info("web")).state, "running")
    assert.include(await says("why", "web"), "A connection to its port 80 resumed it.")
  })

  it("S-089 S-128 S-201 T-166 a stopped one is started by 200 requests at once: one start, 200 answers", async () => {
    await says("instance", "stop", "web")
    const before = await started("web")
    const host = await hostPort("web", 80)
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => get(i % 2 === 0 ? `${router}/web/${i}` : `http://127.0.0.1:${host}/${i}`))
    )
    assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.deepStrictEqual(
      answers.map(({ body }) => body.split(" ")[0]),
      answers.map((_, i) => `/${i}`)
    )
    assert.strictEqual(await started("web"), before + 1)
    await until("all connections are given back", async () => (await info("web")).active_connections === 0)
    // Its handle is its name everywhere.
    assert.strictEqual(await says("exec", "web", "--", "echo", "by its handle"), "by its handle\n")
    await says("logs", "web", "--tail", "1")
    await says("instance", "stop", "web")
    assert.match(await says("instance", "start", "--name", "web"), /^Instance restarted: inst-/)
  })

  it("S-070 S-202 T-168 T-181 a WebSocket through the router, a half-close through a tcp port, which wakes as well", async () => {
    await says(
      ...["instance", "start", "--name", "ws", "--memory", "128", "--expose", "80:http", "--expose", "81/tcp"],
      ...["--", "python3", "-c", sockets]
    )
    const echoed = await new Promise<string>((resolve, reject) => {
      const client = new WebSocket(`${router.replace("http", "ws")}/ws/`)
      client.on("open", () => client.send("hello"))
      client.on("message", (data: Buffer) => resolve(data.toString()))
      client.on("message", () => client.terminate())
      client.on("error", reject)
    })
    assert.strictEqual(echoed, "hello")
    await says("instance", "stop", "ws")
    const port = await hostPort("ws", 81)
    const got = await new Promise<string>((resolve, reject) => {
      const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () =>
        socket.end(Buffer.alloc(3_000_000))
      )
      let text = ""
      socket.on("data", (piece: Buffer) => (text += piece.toString()))
      socket.on("end", () => resolve(text))
      socket.on("error", reject)
    })
    assert.strictEqual(got, "got 3000000")
    assert.strictEqual((await info("ws")).state, "running")
  })

  it("D-14 T-182 ports outlive the daemon, also of a stopped instance; one that was taken is another, and the log says so", async () => {
    await says("instance", "stop", "ws")
    const [webPort, wsPort] = [await hostPort("web", 80), await hostPort("ws", 81)]
    await killDaemon(aegis)
    const thief = net.createServer()
    await new Promise<void>((resolve) => thief.listen(wsPort, "127.0.0.1", resolve))
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    assert.strictEqual(await hostPort("web", 80), webPort)
    assert.strictEqual((await get(`http://127.0.0.1:${webPort}/`)).status, 200)
    const moved = await hostPort("ws", 81)
    assert.notStrictEqual(moved, wsPort)
    const { id } = await info("ws")
    assert.include(
      await linesOf(aegis, id, "system"),
      `port ${wsPort} of this machine is taken: port ${moved} leads to port 81 now`
    )
    const asked = await aegis.run(["instance", "start", "--expose", `${wsPort}:80`, "--", "true"])
    assert.deepStrictEqual(
      [asked.code, asked.stderr.split("\n")[0]],
      [1, `error: port ${wsPort} of this machine: somebody listens there already`]
    )
    thief.close()
    await says("instance", "delete", "web")
    const refused = await get(`http://127.0.0.1:${webPort}/`).catch((error: NodeJS.ErrnoException) => error.code)
    assert.strictEqual(refused, "ECONNREFUSED")
  })

  it("T-238 S-201 one that ends at once is 503 or 502 and not started for ever", async () => {
    await says("instance", "start", "--name", "bad", "--memory", "64", "--expose", "80", "--", "false")
    await inState(aegis, "bad", "stopped")
    const port = await hostPort("bad", 80)
    const statuses: Array<number | undefined> = []
    for (let i = 0; i < 4; i++) statuses.push((await get(`http://127.0.0.1:${port}/`)).status)
    assert.isTrue(
      statuses.every((status) => status === 502 || status === 503),
      statuses.join()
    )
    assert.strictEqual(statuses.at(-1), 503)
    assert.isAtMost(await started("bad"), 6)
  })
})
