/**
 * What a guest's network reaches of its host, and what it does not.
 */
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { readdirSync } from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { running } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"
import { packageIndex, wheel } from "../product/Wheel.ts"

/** Run in the guest: says for each `host port` whether somebody answers. */
const scan = `import socket, sys
for place in sys.argv[1:]:
    host, port = place.rsplit(" ", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print("open" if s.recv(4) == b"HTTP" else "silent")
    except OSError:
        print("closed")`

/** The pip that comes with this machine's Python, as a wheel: the guest's has none. */
const bundledPip = (): string => {
  const script =
    "import ensurepip, os; print(getattr(ensurepip, '_WHEEL_PKG_DIR', None) or os.path.dirname(ensurepip.__file__) + '/_bundled')"
  const directory = execFileSync("python3", ["-c", script], { encoding: "utf8" }).trim()
  const found = readdirSync(directory).find((name) => /^pip-.*\.whl$/.test(name))
  assert.isDefined(found, `no wheel of pip in ${directory}: install python3-pip or python3-venv`)
  return path.join(directory, found)
}

describe("the guest's network", () => {
  let aegis: Product
  const server = http.createServer((_, answer) => answer.end("hello"))
  let port = 0
  let asked = 0
  server.on("connection", () => asked++)
  beforeAll(async () => {
    aegis = await Product.make()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    port = (server.address() as AddressInfo).port
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(async () => {
    server.close()
    await aegis.remove()
  })

  const says = async (...args: ReadonlyArray<string>) => {
    const done = await aegis.run(args)
    assert.deepStrictEqual([done.code, done.stderr], [0, ""], args.join(" "))
    return done.stdout
  }
  const scanned = async (...places: ReadonlyArray<string>) =>
    (await says("exec", "web", "--", "python3", "-c", scan, ...places)).trim().split("\n")

  it("T-249 by default neither the host's loopback, nor what is private, link-local or the cloud's answers; said by network log", async () => {
    await says("instance", "start", "--name", "web", "--", "sleep", "1000")
    await running(aegis, "web")
    const places = [
      ...["host.aegis.internal", "192.168.127.1", "127.0.0.1", "10.0.2.2", "172.17.0.1", "192.168.1.1"],
      ...["169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "fe80::1", "fd7f:ae61:5::1"]
    ].map((host) => `${host} ${port}`)
    assert.deepStrictEqual(
      await scanned(...places),
      places.map(() => "closed")
    )
    assert.strictEqual(asked, 0)
    const refused = await until("the refusals are in the journal", async () => {
      const log = await says("network", "log", "web")
      return log.includes(`169.254.169.254:${port}`) ? log : undefined
    })
    assert.include(refused, `192.168.1.1:${port}`)
  })

  it("a port of the host's loopback that was allowed answers by name, and others do not; the daemon that comes after another goes on so", async () => {
    await says("network", "set", "web", "--allow-host", `${port}`)
    const places = [`host.aegis.internal ${port}`, `127.0.0.1 ${port}`, `192.168.1.1 ${port}`]
    assert.deepStrictEqual(await scanned(...places), ["open", "closed", "closed"])
    process.kill(aegis.daemonPid, "SIGKILL")
    await until("the daemon is dead", async () => (await aegis.run(["status"])).stdout === "aegisd: not running\n")
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    assert.deepStrictEqual(await scanned(...places), ["open", "closed", "closed"])
    const check = await aegis.run(["network", "check", "web", `192.168.1.1:${port}`])
    assert.strictEqual(check.code, 1)
    assert.match(check.stdout, /^refused: /)
    await says("network", "set", "web")
    assert.deepStrictEqual(await scanned(...places), ["closed", "closed", "closed"])
  })

  it("pip downloads from an index on the host's loopback; counters, log and replay tell of it", async () => {
    const sample = wheel("aegis_sample", randomBytes(5_000_000))
    const index = packageIndex("aegis-sample", sample)
    await new Promise<void>((resolve) => index.listen(0, "127.0.0.1", resolve))
    const { port: at } = index.address() as AddressInfo
    try {
      await says("network", "set", "web", "--allow-host", `${at}`, "--network-log")
      await says("cp", bundledPip(), "web:/tmp/pip.whl")
      const pip = [
        ...["python3", "/tmp/pip.whl/pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", "/tmp/got"],
        ...["--disable-pip-version-check", "--trusted-host", "host.aegis.internal"],
        ...["--index-url", `http://host.aegis.internal:${at}/simple/`, "aegis-sample"]
      ]
      const done = await aegis.run(["exec", "web", "--", ...pip])
      assert.strictEqual(done.code, 0, done.stderr)
      const sum = createHash("sha256").update(sample.bytes).digest("hex")
      assert.include(await says("exec", "web", "--", "sha256sum", `/tmp/got/${sample.file}`), sum)
    } finally {
      index.close()
    }
    const { traffic } = JSON.parse(await says("instance", "info", "web", "--json")) as {
      readonly traffic: Readonly<Record<string, number>>
    }
    assert.isAbove(traffic["received_bytes"] ?? 0, 5_000_000)
    assert.isAbove(traffic["flows_allowed"] ?? 0, 0)
    assert.match(await says("instance", "info", "web"), /^Traffic: {5}sent [0-9.]+ [kM]B in /m)
    const log = await until("the download is in the journal", async () => {
      const lines = await says("network", "log", "web")
      return /allowed tcp .* received 5\.[0-9] MB in /.test(lines) ? lines : undefined
    })
    // By IPv6, where the guest prefers that.
    const place = String.raw`tcp host\.aegis\.internal (192\.168\.127\.254|\[fd7f:ae61:5::fe\]):${at}`
    assert.match(log, new RegExp(`allowed ${place}, sent `))
    const replayed = await aegis.run(["network", "check", "web", "--replay", "--network", "public"])
    assert.strictEqual(replayed.code, 1, replayed.stderr)
    assert.match(replayed.stdout, new RegExp(`would be refused: ${place} \\(a port of the host`))
    const same = await aegis.run(["network", "check", "web", "--replay"])
    assert.strictEqual(same.code, 0, same.stdout + same.stderr)
  })

  it("what a guest did last is in the log when its VM has ended, of a run that is no more as well", async () => {
    const last = `import socket
s = socket.create_connection(("host.aegis.internal", ${port}))
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
s.recv(4)
try:
    socket.create_connection(("10.0.0.1", 80))
except OSError:
    pass`
    const flags = ["--name", "once", "--network-log", "--allow-host", `${port}`]
    await says("run", ...flags, "--", "python3", "-c", last)
    const log = await says("network", "log", "once", "--json")
    const flows = log
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    const to = (verdict: string) => flows.filter((flow) => flow["verdict"] === verdict)
    assert.deepInclude(to("allow")[0], { protocol: "tcp", name: "host.aegis.internal", port, sent_bytes: 18, count: 1 })
    assert.deepInclude(to("refuse")[0], { protocol: "tcp", address: "10.0.0.1", port: 80, why: "a private address" })
    const replayed = await aegis.run(["network", "check", "once", "--replay", "--network", "all", "--json"])
    assert.deepInclude(JSON.parse(replayed.stdout), { judged: 2, unnamed: 0, more: 0 })
    assert.strictEqual(replayed.code, 0)
  })
})
