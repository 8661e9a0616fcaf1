import { once } from "node:events"
import * as http from "node:http"
import * as net from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, rest, running } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

const status = (port: number): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    http
      .get({ port, host: "127.0.0.1", agent: false }, (answer) => {
        answer.resume()
        answer.on("end", () => resolve(answer.statusCode))
      })
      .on("error", reject)
  })

describe("instances that nobody uses, on real guests", () => {
  let aegis: Product
  beforeAll(async () => {
    aegis = await Product.make({ AEGIS_IDLE_CHECK: "0.5", AEGIS_IDLE_PAUSE: "2", AEGIS_IDLE_STOP: "6" })
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(() => aegis.remove())

  const says = (...args: ReadonlyArray<string>) => aegis.says(...args)
  const start = (name: string, flags: ReadonlyArray<string>, ...command: ReadonlyArray<string>) =>
    says("instance", "start", "--name", name, "--memory", "128", ...flags, "--", ...command)
  const info = async (target: string) => (await rest(aegis, "GET", `/v1/instances/${target}`)).body
  const serve = ["python3", "-m", "http.server", "80"]

  it("S-123 D-08 T-180 it is paused, then stopped, and why says what was seen; a connection keeps it awake, and wakes it", async () => {
    await start("web", ["--expose", "80"], ...serve)
    await running(aegis, "web")
    const port = (await info("web")).endpoints[0].host
    assert.strictEqual(await status(port), 200)
    await inState(aegis, "web", "paused")
    assert.strictEqual(await status(port), 200)
    assert.strictEqual((await info("web")).state, "running")
    // One that says nothing is use as well.
    const quiet = net.connect(port, "127.0.0.1").on("error", () => undefined)
    quiet.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 5\r\n\r\n`)
    await until("it is counted", async () => (await info("web")).active_connections === 1)
    await new Promise((resolve) => setTimeout(resolve, 4500))
    assert.strictEqual((await info("web")).state, "running")
    quiet.destroy()
    await inState(aegis, "web", "paused")
    const stopped = await inState(aegis, "web", "stopped")
    assert.deepStrictEqual(stopped.ended, { _tag: "Idle" })
    assert.match(
      await says("why", "web"),
      /^web \(inst-\d+\) is stopped: it was stopped by the idle timer \(nothing had happened for \d+ s: no connection and no exec since [^,]+Z, \d+ ms of its processor's time and \d+ bytes through its network in between\)/
    )
    assert.match(await says("events", "web"), /paused \(idle for \d+ s: no connection and no exec since /)
    assert.strictEqual(await status(port), 200)
  })

  it("T-184 connections that come as it is paused all have their answer", async () => {
    const port = (await info("web")).endpoints[0].host
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1800 + i * 150))
      assert.strictEqual(await status(port), 200)
    }
  })

  it("D-08 one that works or talks is not idle, nor one that nothing can wake, nor one that was told never, nor one that a person paused", async () => {
    const sink = net.createServer((guest) => guest.on("error", () => undefined).resume()).listen(0, "127.0.0.1")
    await once(sink, "listening")
    const { port } = sink.address() as net.AddressInfo
    const talk = `import socket, time
s = socket.create_connection(("host.aegis.internal", ${port}))
while True: s.sendall(bytes(2000)), time.sleep(0.5)`
    await Promise.all([
      start("talks", ["--expose", "80", "--allow-host", String(port)], "python3", "-c", talk),
      start("works", ["--expose", "80"], "sh", "-c", "while :; do :; done"),
      start("alone", [], "sleep", "1000"),
      start("never", ["--expose", "80", "--idle-pause", "0", "--idle-stop", "0"], "sleep", "1000"),
      start("own", ["--idle-pause", "1s"], "sleep", "1000"),
      start("held", ["--expose", "80", "--idle-pause", "1h", "--idle-stop", "10m"], "sleep", "1000")
    ])
    await running(aegis, "talks", "works", "alone", "never", "held")
    await says("instance", "pause", "held")
    await inState(aegis, "own", "paused")
    await new Promise((resolve) => setTimeout(resolve, 6000))
    for (const name of ["talks", "works", "alone", "never"])
      assert.strictEqual((await info(name)).state, "running", name)
    assert.strictEqual((await info("held")).state, "paused")
    assert.strictEqual((await info("own")).state, "paused")
    sink.close()
  })
})
