/**
 * Ports and leases through all of the runtime, the router included, as a program with promises has them; guests are simulated.
 */
import { Client } from "@aegis/client/promise"
import { Runtime } from "@aegis/runtime"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { bridge } from "../../client/src/promise/Bridge.ts"
import { programs } from "../../instances/test/scripts.ts"

const home = mkdtempSync(path.join(tmpdir(), "aegis-ports-"))

const connected = async (port: number) => {
  const socket = net.connect(port, "127.0.0.1")
  await once(socket, "connect")
  return socket
}

/** What comes back of what is said. */
const heard = async (socket: net.Socket, text: string) => {
  socket.write(text)
  const [bytes] = await once(socket, "data")
  return String(bytes)
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => "no failure",
    (error: { readonly _tag: string }) => error._tag
  )

describe("ports and leases of an embedded runtime, with promises", () => {
  const client = new Client(
    bridge(ManagedRuntime.make(Runtime.layerSimulated({ home, programs, bootTime: "100 millis" })))
  )
  afterAll(async () => {
    await client.close()
    rmSync(home, { recursive: true, force: true })
  })

  it("S-070 S-202 a port leads to the guest while it is exposed, wakes it, and is cut when it is unexposed", async () => {
    await client.start({ command: ["serve-echo", "80", "81"], handle: "echo" })
    const { endpoints } = await client.expose("echo", { port: 80, protocol: "tcp" })
    const host = endpoints[0]?.host ?? 0
    const socket = await connected(host)
    assert.strictEqual(await heard(socket, "awake"), "awake")
    const reset = once(socket, "error")
    assert.deepStrictEqual((await client.unexpose("echo", 80)).endpoints, [])
    const [error] = await reset
    assert.strictEqual(error.code, "ECONNRESET")
    assert.strictEqual(await failure(client.unexpose("echo", 80)), "NotExposed")

    await client.stop("echo")
    await client.expose("echo", { port: 81, protocol: "tcp", hostPort: host })
    const woken = await connected(host)
    assert.strictEqual(await heard(woken, "woken"), "woken")
    assert.strictEqual((await client.get("echo")).state, "running")
    woken.destroy()
    assert.strictEqual(await failure(client.expose("echo", { port: 82, hostPort: host })), "PortTaken")
    assert.strictEqual(await failure(client.expose("echo", { port: 0 })), "InvalidArgument")
    assert.strictEqual(await failure(client.unexpose("echo", 65_536)), "InvalidArgument")
  })

  it("S-202 one that waits for the guest to wake is not let through to a port that is unexposed meanwhile", async () => {
    await client.stop("echo")
    const [{ guest, host } = { guest: 0, host: 0 }] = (await client.get("echo")).endpoints
    const socket = await connected(host)
    const reset = once(socket, "error")
    await client.unexpose("echo", guest)
    const [error] = await reset
    assert.strictEqual(error.code, "ECONNRESET")
  })

  it("U-057 a lease is given and given back", async () => {
    await client.start({ command: ["sleep"], handle: "kept" })
    const { keepalive } = await client.keepAlive("kept", { seconds: 60, reason: "a build" })
    assert.strictEqual(keepalive?.reason, "a build")
    assert.isUndefined((await client.keepAlive("kept", { seconds: 0 })).keepalive)
    assert.strictEqual(await failure(client.keepAlive("kept", { seconds: 86_401 })), "InvalidArgument")
    await client.stop("kept")
    assert.strictEqual(await failure(client.keepAlive("kept", { seconds: 60 })), "StateConflict")
  })
})
