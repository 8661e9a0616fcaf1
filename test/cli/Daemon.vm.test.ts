import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, assert, describe, it } from "vitest"
import { rest } from "../product/Fleet.ts"
import { dist, Product, start, until } from "../product/Product.ts"

describe("the daemon's life", () => {
  const made: Array<Product> = []
  const product = async (env: Readonly<Record<string, string>> = {}) => {
    const one = await Product.make(env)
    made.push(one)
    return one
  }
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove()
  })

  it("S-029…S-034 up starts it once and says so; S-003 the pid file names it", async () => {
    const aegis = await product()
    const up = await aegis.run(["up"])
    assert.deepStrictEqual([up.code, up.stdout], [0, `aegisd started (pid ${aegis.daemonPid})\n`])
    assert.isTrue(existsSync(`/proc/${aegis.daemonPid}`))
    const again = await aegis.run(["up"])
    assert.deepStrictEqual([again.code, again.stdout], [0, "aegisd is already running\n"])
  })

  it("S-040…S-045 down ends it, twice is no error, and up works again", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    const pid = aegis.daemonPid
    const down = await aegis.run(["down"])
    assert.deepStrictEqual([down.code, down.stdout], [0, `aegisd stopping (pid ${pid})\naegisd stopped\n`])
    assert.isFalse(existsSync(path.join(aegis.home, "aegisd.sock")))
    assert.isFalse(existsSync(path.join(aegis.home, "data/aegisd.pid")))
    const again = await aegis.run(["down"])
    assert.deepStrictEqual([again.code, again.stdout], [0, "aegisd is not running\n"])
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  })

  it("S-046…S-048 D-22 status names the backend, and says when there is no daemon", async () => {
    const aegis = await product()
    assert.deepStrictEqual((await aegis.run(["status"])).stdout, "aegisd: not running\n")
    await aegis.run(["up"])
    assert.match((await aegis.run(["status"])).stdout, /^aegisd: running\nbackend: qemu\n/)
    const json = JSON.parse((await aegis.run(["status", "--json"])).stdout)
    assert.strictEqual(json.pid, aegis.daemonPid)
    assert.match(json.router.address, /^http:\/\/127\.0\.0\.1:\d+$/)
  })

  it("T-282 a port of the router's that somebody has: the daemon serves all the rest, and says who", async () => {
    const aegis = await product()
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const port = typeof address === "object" ? address?.port : undefined
    const env = { AEGIS_ROUTER_PORT: `${port}` }
    assert.strictEqual((await aegis.run(["up"], { env })).code, 0)
    const remedy = "AEGIS_ROUTER_PORT names another port: aegis down && AEGIS_ROUTER_PORT=8199 aegis up"
    const comm = readFileSync("/proc/self/comm", "utf8").trim()
    assert.include(
      (await aegis.run(["status"])).stdout,
      `router: not there: port ${port} is held by process ${process.pid} (${comm})\n  try: ${remedy}\n`
    )
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances")).status, 200)
    server.close()
    assert.strictEqual((await aegis.run(["down"])).code, 0)
  })

  it("S-010 a command that needs the daemon says so", async () => {
    const aegis = await product()
    const done = await aegis.run(["instance", "list"])
    assert.deepStrictEqual(
      [done.code, done.stderr],
      [1, "error: aegisd is not running. Run 'aegis up' first.\n  try: aegis up\n"]
    )
    assert.strictEqual((await aegis.run(["run", "--", "true"])).code, 125)
  })

  it("S-035 T-257 a stale pid file and a stale socket do not count as running", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    const pid = aegis.daemonPid
    process.kill(pid, "SIGKILL")
    await until("the daemon is dead", () => !existsSync(`/proc/${pid}/exe`))
    assert.strictEqual((await aegis.run(["status"])).stdout, "aegisd: not running\n")
    // The number of a stranger who lives is no daemon either, and is not killed.
    writeFileSync(path.join(aegis.home, "data/aegisd.pid"), `${process.pid}\n`)
    assert.strictEqual((await aegis.run(["down"])).stdout, "aegisd is not running\n")
    const up = await aegis.run(["up"])
    assert.strictEqual(up.stdout, `aegisd started (pid ${aegis.daemonPid})\n`)
  })

  it("T-259 a pid file with garbage", async () => {
    const aegis = await product()
    writeFileSync(path.join(aegis.home, "data/aegisd.pid"), "garbage")
    const done = await aegis.run(["down"])
    assert.deepStrictEqual([done.code, done.stdout], [0, "aegisd is not running (invalid pid file)\n"])
  })

  it("T-256 of ten ups at once one wins, and all succeed", async () => {
    const aegis = await product()
    // Twenty programs on whatever cores there are: the two seconds of S-032 are no matter here.
    const env = { AEGIS_UP_TIMEOUT: "60" }
    const all = await Promise.all(Array.from({ length: 10 }, () => aegis.run(["up"], { env })))
    assert.deepStrictEqual(
      all.map(({ code }) => code),
      all.map(() => 0),
      all.map(({ stderr }) => stderr).join("")
    )
    assert.lengthOf(
      all.filter(({ stdout }) => stdout.startsWith("aegisd started")),
      1
    )
    assert.match((await aegis.run(["status"])).stdout, /^aegisd: running/)
  })

  it("D-24 aegisd by itself serves in the foreground until SIGTERM", async () => {
    const aegis = await product()
    const daemon = start(path.join(dist, "aegisd"), [], { env: aegis.env })
    await until("it serves", async () => (await aegis.run(["status"])).stdout.startsWith("aegisd: running"))
    daemon.child.kill("SIGTERM")
    const done = await daemon.ended
    assert.deepStrictEqual([done.code, done.signal], [0, null])
    assert.isFalse(existsSync(path.join(aegis.home, "aegisd.sock")))
  })

  it("T-262 SIGHUP, SIGPIPE and SIGUSR1 neither end it nor open a debugger", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    for (const signal of ["SIGHUP", "SIGPIPE", "SIGUSR1"] as const) process.kill(aegis.daemonPid, signal)
    assert.match((await aegis.run(["status"])).stdout, /^aegisd: running/)
    const inspector = await new Promise((resolve) => {
      const socket = net.connect(9229, "127.0.0.1")
      socket.once("connect", () => resolve("open"))
      socket.once("error", () => resolve("closed"))
    })
    assert.strictEqual(inspector, "closed")
  })

  it("S-044 SIGTERM with a guest running ends the guest", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    const running = aegis.start(["run", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("the command is up", () => running.stdout() === "up\n")
    assert.strictEqual((await aegis.run(["down"])).code, 0)
    assert.strictEqual((await running.ended).code, 125)
    assert.deepStrictEqual(await aegis.left(), [])
  })

  it("T-251 kill -9 with a guest running: the client ends with 125, the next daemon removes what is left", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    const running = aegis.start(["run", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("the command is up", () => running.stdout() === "up\n")
    process.kill(aegis.daemonPid, "SIGKILL")
    const done = await running.ended
    assert.strictEqual(done.code, 125)
    assert.match(done.stderr, /error: the connection to aegisd was lost/)
    assert.isAbove((await aegis.left()).length, 0)
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    assert.deepStrictEqual(await aegis.left(), [])
    assert.strictEqual((await aegis.run(["run", "--", "echo", "again"])).stdout, "again\n")
  })

  it("E8 T-278 the home is closed to others whatever the umask", async () => {
    const aegis = await product()
    rmSync(path.join(aegis.home, "data"), { recursive: true })
    execFileSync("sh", ["-c", `umask 000; exec "${dist}/aegis" up`], { env: { ...process.env, ...aegis.env } })
    assert.strictEqual(statSync(aegis.home).mode & 0o077, 0)
    assert.strictEqual(statSync(path.join(aegis.home, "aegisd.sock")).mode & 0o077, 0)
    assert.strictEqual(statSync(path.join(aegis.home, "data")).mode & 0o077, 0)
  })

  it("D-13 a home on a long path works", async () => {
    const long = path.join(tmpdir(), `aegis-${"x".repeat(120)}-${process.pid}`)
    const aegis = await product()
    mkdirSync(long, { recursive: true, mode: 0o700 })
    symlinkSync(path.join(aegis.home, "base-rootfs"), path.join(long, "base-rootfs"))
    const env = { AEGIS_HOME: long }
    assert.strictEqual((await aegis.run(["up"], { env })).code, 0)
    assert.strictEqual((await aegis.run(["run", "--", "echo", "far"], { env })).stdout, "far\n")
    assert.strictEqual((await aegis.run(["down"], { env })).code, 0)
    execFileSync("rm", ["-rf", long])
  })

  it("T-15 HOME unset or relative is a clear message", async () => {
    const done = await start(path.join(dist, "aegis"), ["status"], { env: { HOME: "" } }).ended
    assert.strictEqual(done.code, 1)
    assert.match(done.stderr, /^error: HOME: is not set\n {2}try: /)
  })

  it("S-001 S-030 the programs work through a symlink on PATH, from anywhere", async () => {
    const aegis = await product()
    const bin = path.join(aegis.home, "bin")
    mkdirSync(bin)
    symlinkSync(path.join(dist, "aegis"), path.join(bin, "aegis"))
    const done = await start("aegis", ["up"], {
      cwd: "/",
      env: { ...aegis.env, PATH: `${bin}:${process.env["PATH"]}` }
    }).ended
    assert.strictEqual(done.code, 0, done.stderr)
  })

  it("S-058 S-059 S-197 S-203 D-18 REST on the same socket: status, create, list, get, delete; errors have code and remedy", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    const rest = async (method: string, route: string, body?: object) => {
      const [status, text] = await new Promise<readonly [number | undefined, string]>((resolve, reject) => {
        const socketPath = path.join(aegis.home, "aegisd.sock")
        const headers = { "content-type": "application/json" }
        const call = request({ socketPath, method, path: route, headers }, (answer) => {
          let received = ""
          answer.on("data", (piece) => (received += piece))
          answer.on("end", () => resolve([answer.statusCode, received]))
        })
        call.on("error", reject)
        call.end(body === undefined ? undefined : JSON.stringify(body))
      })
      return { status, body: JSON.parse(text) }
    }
    assert.deepInclude((await rest("GET", "/v1/status")).body, { status: "running", backend: "qemu" })
    const created = await rest("POST", "/v1/instances", { command: ["sleep", "1000"], handle: "web" })
    assert.deepInclude(created, { status: 201 })
    assert.deepInclude(created.body, { handle: "web", state: "starting" })
    await until("it runs", async () => (await rest("GET", "/v1/instances/web")).body["state"] === "running")
    assert.lengthOf((await rest("GET", "/v1/instances?state=running")).body, 1)
    const taken = await rest("POST", "/v1/instances", { command: ["true"], handle: "web" })
    assert.deepStrictEqual(
      [taken.status, taken.body["code"], taken.body["error"]],
      [409, "HandleTaken", 'instance "web" is running']
    )
    const refused = await rest("POST", "/v1/instances", { command: [] })
    assert.deepStrictEqual([refused.status, refused.body["code"]], [400, "InvalidArgument"])
    assert.deepStrictEqual((await rest("DELETE", "/v1/instances/web")).body, { status: "deleted" })
    const gone = await rest("GET", "/v1/instances/web")
    assert.deepStrictEqual(
      [gone.status, gone.body["code"], gone.body["error"]],
      [404, "NotFound", 'instance "web" not found']
    )
    assert.deepStrictEqual(await aegis.left(), [])
  })

  it("T-220 no QEMU, no kernel: a tagged error that names the part in under 2 s, and the daemon stays up", async () => {
    const aegis = await product({ AEGIS_LIBKRUNFW: "/nowhere/libkrunfw.so.5" })
    await aegis.run(["up"])
    const begun = Date.now()
    const done = await aegis.run(["run", "--", "true"])
    assert.isBelow(Date.now() - begun, 2000)
    assert.strictEqual(done.code, 125)
    assert.match(done.stderr, /error: .*AEGIS_LIBKRUNFW.*\n {2}try: set AEGIS_LIBKRUNFW/)
    assert.match((await aegis.run(["status"])).stdout, /^aegisd: running/)
  })

  it("a missing base root file system is named with its remedy", async () => {
    const aegis = Product.empty()
    made.push(aegis)
    const daemon = start(path.join(dist, "aegisd"), [], { env: aegis.env })
    await until("it serves", async () => (await aegis.run(["status"])).stdout.startsWith("aegisd: running"))
    const done = await aegis.run(["run", "--", "true"])
    assert.deepStrictEqual([done.code, done.stdout], [125, ""])
    assert.match(done.stderr, /error: base root file system.*\n {2}try: /)
    daemon.child.kill("SIGTERM")
    await daemon.ended
  })

  it("the daemon's log holds no value of --env", async () => {
    const aegis = await product()
    await aegis.run(["up"])
    await aegis.run(["run", "--env", "TOKEN=sesame-4711", "--", "true"])
    await aegis.run(["run", "--env", "TOKEN=sesame-4711", "--", "no-such-program"])
    assert.notInclude(readFileSync(path.join(aegis.home, "data/aegisd.log"), "utf8"), "sesame")
    // Nor does the journal: a run is not started again from it.
    assert.throws(() => execFileSync("grep", ["-r", "sesame-4711", aegis.home, "--exclude-dir=base-rootfs"]))
  })
})
