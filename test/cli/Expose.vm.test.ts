import { once } from "node:events"
import * as net from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, killDaemon, rest, running } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

/** On each of its ports, a server that says what it hears. */
const echo = `import socket, sys, threading
def talk(c):
  while True:
    d = c.recv(65536)
    if not d: break
    c.sendall(d)
  c.close()
def serve(port):
  s = socket.create_server(("", port), backlog=64)
  while True: threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()
for port in sys.argv[1:]: threading.Thread(target=serve, args=(int(port),)).start()`

const open = async (port: number): Promise<net.Socket> => {
  const socket = net.connect(port, "127.0.0.1")
  socket.on("error", () => undefined)
  await once(socket, "connect")
  return socket
}

const said = async (socket: net.Socket, text: string): Promise<string> => {
  socket.write(text)
  const [answer] = await once(socket, "data")
  return String(answer)
}

/** What becomes of a connection to a port. */
const codeOf = (port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("hello"))
    socket.on("data", (bytes) => resolve(String(bytes)))
    socket.on("data", () => socket.destroy())
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"))
    socket.on("end", () => resolve("end"))
  })

describe("ports and leases of guests that are there already", () => {
  let aegis: Product
  beforeAll(async () => {
    aegis = await Product.make({ AEGIS_IDLE_CHECK: "0.5", AEGIS_IDLE_PAUSE: "2", AEGIS_IDLE_STOP: "6" })
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(() => aegis.remove())

  const says = (...args: ReadonlyArray<string>) => aegis.says(...args)
  const info = async (target: string) => (await rest(aegis, "GET", `/v1/instances/${target}`)).body
  const start = (name: string, flags: ReadonlyArray<string>, ...command: ReadonlyArray<string>) =>
    says("instance", "start", "--name", name, "--memory", "128", ...flags, "--", ...command)
  const never = ["--idle-pause", "0", "--idle-stop", "0"]

  it("S-070 S-105 S-202 D-14 expose leads to a guest that runs, wakes one that does not, and unexpose cuts off", async () => {
    await start("echo", never, "python3", "-c", echo, "80", "81")
    await running(aegis, "echo")
    const [, first = ""] = /^Port 80 of echo: 127\.0\.0\.1:(\d+)\n$/.exec(await says("expose", "echo", "80/tcp")) ?? []
    const port = Number(first)
    await until("it answers", async () => (await codeOf(port)) === "hello")
    // The same again is no failure, another way is a conflict.
    assert.strictEqual(await says("expose", "echo", "80/tcp"), `Port 80 of echo: 127.0.0.1:${port}\n`)
    const clash = await aegis.run(["expose", "echo", "80"])
    assert.deepStrictEqual([clash.code, clash.stdout], [1, ""])
    assert.match(
      clash.stderr,
      /is exposed already: port \d+ of this machine leads to it \(tcp\)\n {2}try: aegis unexpose echo 80/
    )
    const taken = await aegis.run(["expose", "echo", `${port}:81/tcp`])
    assert.strictEqual(taken.code, 1)
    assert.include(taken.stderr, `error: port ${port} of this machine: somebody listens there already`)
    const document = JSON.parse(await says("expose", "echo", "81/tcp", "--json"))
    assert.deepStrictEqual(document.expose_ports, [80, 81])
    const other = document.endpoints[1].host
    assert.match(await says("instance", "info", "echo"), new RegExp(`:80 → :${port} \\(tcp\\)\n {2}:81 → :${other}`))

    const [cut, kept] = [await open(port), await open(other)]
    assert.deepStrictEqual([await said(cut, "a"), await said(kept, "b")], ["a", "b"])
    const closed = new Promise((resolve) => cut.once("close", resolve))
    assert.strictEqual(await says("unexpose", "echo", "80"), "Port 80 of echo is not exposed any more\n")
    await closed
    assert.strictEqual(await codeOf(port), "ECONNREFUSED")
    assert.strictEqual(await said(kept, "still here"), "still here")
    kept.destroy()
    const again = await aegis.run(["unexpose", "echo", "80"])
    assert.deepStrictEqual(
      [again.code, again.stderr.split("\n")[0]],
      [1, 'error: port 80 of instance "echo" is not exposed']
    )

    await says("instance", "stop", "echo")
    await says("expose", "echo", `${port}:80/tcp`)
    await killDaemon(aegis)
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    assert.strictEqual((await info("echo")).state, "stopped")
    assert.strictEqual(await codeOf(port), "hello")
    assert.strictEqual((await info("echo")).state, "running")
    await says("instance", "pause", "echo")
    await says("unexpose", "echo", "81")
    assert.deepStrictEqual((await info("echo")).expose_ports, [80])
    assert.strictEqual(await codeOf(port), "hello")
    const events = await says("events", "echo")
    assert.include(events, `port exposed: ${port} to 80/tcp (aegis expose)`)
    assert.include(events, "port 81 not exposed any more (aegis unexpose)")
    await says("instance", "delete", "echo")
    assert.strictEqual(await codeOf(port), "ECONNREFUSED")
  })

  it("S-198 S-202 the router serves a port that is exposed later, until it is unexposed", async () => {
    await start("late", never, "python3", "-m", "http.server", "80")
    await running(aegis, "late")
    const { router } = JSON.parse(await says("status", "--json"))
    const fetched = async () => (await fetch(router.address, { headers: { "x-aegis-instance": "late" } })).status
    assert.strictEqual(await fetched(), 503)
    await says("expose", "late", "80")
    await until("the router serves it", async () => (await fetched()) === 200)
    await says("unexpose", "late", "80")
    await until("and does not any more", async () => (await fetched()) === 503)
    await says("instance", "delete", "late")
  })

  it("U-057 D-08 a keepalive holds idling off, over a restart of the daemon too, until it is given back", async () => {
    await start("kept", ["--expose", "80"], "sleep", "1000")
    await start("brief", ["--expose", "80"], "sleep", "1000")
    await running(aegis, "kept", "brief")
    assert.match(
      await says("keepalive", "kept", "--for", "10m", "--reason", "a build runs"),
      /^Instance kept is kept from idling until \d{4}-\S+Z\n$/
    )
    await says("keepalive", "brief", "--for", "4s")
    await inState(aegis, "brief", "paused")
    const events = (await rest(aegis, "GET", "/v1/events?target=brief")).body
    const at = (tag: string) => Date.parse(events.find((one: { data: { _tag: string } }) => one.data._tag === tag)?.at)
    assert.isAtLeast(at("InstancePaused") - at("KeepaliveGiven"), 4000)
    assert.match(await says("why", "brief"), /lets it idle again/)
    await killDaemon(aegis)
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    // What idling had paused is stopped in its time by the next daemon; what is kept goes on.
    assert.deepStrictEqual((await inState(aegis, "brief", "stopped")).ended, { _tag: "Idle" })
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const kept = await info("kept")
    assert.deepStrictEqual([kept.state, kept.keepalive.reason], ["running", "a build runs"])
    assert.match(await says("instance", "info", "kept"), /^Keepalive: {3}until \S+Z: a build runs$/m)
    assert.match(await says("why", "kept"), /aegis keepalive keeps it from idling until \S+Z: a build runs\./)
    assert.strictEqual(await says("keepalive", "kept", "--for", "0"), "Instance kept may idle again\n")
    await inState(aegis, "kept", "paused")
    // It wakes nothing.
    await says("keepalive", "kept", "--for", "1m")
    assert.strictEqual((await info("kept")).state, "paused")
    const stopped = await aegis.run(["keepalive", "brief", "--for", "1m"])
    assert.deepStrictEqual(
      [stopped.code, stopped.stderr],
      [1, 'error: instance "brief" is stopped\n  try: aegis instance start --name brief\n']
    )
  })
})
