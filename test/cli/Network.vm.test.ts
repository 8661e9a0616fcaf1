/**
 * What a guest's network reaches of its host, and what it does not.
 */
import { createHash, randomBytes } from "node:crypto"
import { createSocket } from "node:dgram"
import { readFileSync } from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { networkInterfaces } from "node:os"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { processesOf, running, vmOf } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"
import { bundledPip, packageIndex, wheel } from "../product/Wheel.ts"

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

/** Run in the guest: prints whatever of `HOST PORT[-PORT]` takes a connection or answers a datagram. */
const sweep = `import socket, sys
def tcp(host, port):
    try:
        socket.create_connection((host, port), timeout=10).close()
        return True
    except OSError:
        return False
def udp(host, port):
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as s:
        s.settimeout(0.2)
        try:
            s.connect(address)
            s.send(b"\\x00" * 12)
            return len(s.recv(64)) > 0
        except OSError:
            return False
for place in sys.argv[1:]:
    protocol, host, ports = place.split(" ")
    first, last = (ports.split("-") * 2)[:2]
    for port in range(int(first), int(last) + 1):
        if (tcp if protocol == "tcp" else udp)(host, port): print(protocol, host, port)`

/** The process in which a guest's network works, below the one that starts it anew. */
const networkOf = (aegis: Product): number => {
  const found = processesOf(aegis, "aegis-net").find(
    (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[1] === "--network"
  )
  assert.isDefined(found, "no network runs")
  return found
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

  it("T-249 a scan from inside finds nothing of its host, of whatever address, but the guest's own DNS server", async () => {
    // Whoever comes to one of the host's addresses is seen here as well.
    const everywhere = http.createServer((_, answer) => answer.end("hello"))
    await new Promise<void>((resolve) => everywhere.listen(0, "::", resolve))
    const { port: open } = everywhere.address() as AddressInfo
    const datagrams = createSocket({ type: "udp6", ipv6Only: false })
    await new Promise<void>((resolve) => datagrams.bind(open, "::", resolve))
    const came: Array<string> = []
    everywhere.on("connection", ({ localAddress }) => came.push(`tcp ${localAddress}`))
    datagrams.on("message", (_, from) => {
      came.push(`udp from ${from.address}`)
      datagrams.send("hello", from.port, from.address)
    })
    const own = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ address, internal }) => !internal && !address.startsWith("fe80"))
      .map(({ address }) => address)
    assert.isNotEmpty(own, "this machine has no address but its loopback's")
    const usual = ["21-23", "25", "53", "80", "111", "443", "2375-2379", "3306", "5432", "6379", "8080", "9200"]
    const others = [
      ...["192.168.127.1", "fd7f:ae61:5::1", "fd7f:ae61:5::fe", "169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
      ...["168.63.129.16", "10.0.2.2", "10.0.0.1", "172.17.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1", ...own]
    ]
    const udpPorts = ["53", "67", "123", "161", "1900", `${open}`]
    const hosts = ["192.168.127.254", ...others]
    const scanAll = (...places: ReadonlyArray<string>) =>
      says("exec", "web", "--", "python3", "-c", sweep, ...places).then((found) => found.trim().split("\n").toSorted())
    try {
      const found = await scanAll(
        "tcp 192.168.127.254 1-65535",
        ...others.flatMap((host) => [...usual, `${port}`, `${open}`].map((ports) => `tcp ${host} ${ports}`)),
        ...hosts.flatMap((host) => udpPorts.map((ports) => `udp ${host} ${ports}`))
      )
      const dns = ["tcp 192.168.127.1 53", "tcp fd7f:ae61:5::1 53", "udp 192.168.127.1 53", "udp fd7f:ae61:5::1 53"]
      assert.deepStrictEqual(found, dns)
      assert.deepStrictEqual([came, asked], [[], 0])
      // The same scan finds what it is looking for where that is let through.
      await says("network", "set", "web", "--network", "all")
      const places = hosts.filter((host) => ["192.168.127.254", ...own].includes(host))
      const reached = await scanAll(...places.flatMap((host) => [`tcp ${host} ${open}`, `udp ${host} ${open}`]))
      assert.includeMembers(reached, [`tcp 192.168.127.254 ${open}`, `udp 192.168.127.254 ${open}`])
      assert.includeMembers(
        reached,
        own.filter((one) => one.includes(".")).map((one) => `tcp ${one} ${open}`)
      )
      assert.isNotEmpty(came)
    } finally {
      await says("network", "set", "web")
      everywhere.close()
      datagrams.close()
    }
  }, 600_000)

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
    const loopback = await aegis.run(["network", "check", "web", `127.0.0.1:${port}`, "--network", "all"])
    assert.match(loopback.stdout, /^refused: .*the guest's own loopback.*host\.aegis\.internal/)
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

  it("T-242 a crash of its network's process costs the guest what was open and nothing else, and is told", async () => {
    await says("network", "set", "web", "--allow-host", `${port}`)
    const places = [`host.aegis.internal ${port}`, `192.168.1.1 ${port}`]
    assert.deepStrictEqual(await scanned(...places), ["open", "closed"])
    const vm = await vmOf(aegis, "web")
    for (const crash of [1, 2]) {
      process.kill(networkOf(aegis), "SIGKILL")
      assert.deepStrictEqual(await scanned(...places), ["open", "closed"])
      await until("the crash is in the journal", async () => {
        const told = (await says("why", "web")).match(
          /Its network crashed \(killed by SIGKILL\) and was started anew\./g
        )
        return told?.length === crash
      })
    }
    assert.strictEqual(await vmOf(aegis, "web"), vm)
    assert.include(await says("events", "web"), "network crashed: killed by SIGKILL; started anew")
    // What the new one tells is heard as well, and it takes a policy.
    await says("network", "set", "web", "--network", "none", "--allow", "203.0.113.77")
    assert.deepStrictEqual(await scanned(`192.168.1.2 ${port}`, ...places), ["closed", "closed", "closed"])
    await until("a refusal of the new network's is in the journal", async () =>
      (await says("network", "log", "web")).includes(`192.168.1.2:${port}`)
    )
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
