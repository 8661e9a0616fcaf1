/**
 * What guests do to their machine, what befalls the processes of VMs, and what befalls the daemon while both go on.
 */
import { rpcPath } from "@aegis/contract"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import * as net from "node:net"
import { getPriority, tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, linesOf, logOf, processesOf, rest, running, settledMisfits, stateOf, vmOf } from "../product/Fleet.ts"
import { dist, Product, until } from "../product/Product.ts"

const ticking = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"]

describe("guests, VMs and a daemon that have it hard", () => {
  let aegis: Product
  beforeAll(async () => {
    aegis = await Product.make({ AEGIS_BOOT_TIMEOUT: "20" })
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(() => aegis.remove())

  const create = async (handle: string, command: ReadonlyArray<string>, memory = 64): Promise<string> => {
    const { body, status } = await rest(aegis, "POST", "/v1/instances", { handle, command, memory_mb: memory })
    assert.strictEqual(status, 201, JSON.stringify(body))
    return body.id
  }
  const lines = async (handle: string) => linesOf(aegis, (await rest(aegis, "GET", `/v1/instances/${handle}`)).body.id)
  const goesOn = async (handle: string) => {
    const before = (await lines(handle)).length
    await until(`${handle} goes on`, async () => (await lines(handle)).length > before + 3)
  }

  it("T-223 T-227 a VM's process that crashes or is killed for memory takes neither the daemon nor another guest along", async () => {
    await create("steady", ticking)
    await running(aegis, "steady")
    for (const signal of ["SIGSEGV", "SIGKILL"] as const) {
      await create("victim", ["sleep", "1000"])
      await running(aegis, "victim")
      const vm = await vmOf(aegis, "victim")
      // Where memory runs out, the kernel looks here first.
      assert.strictEqual(readFileSync(`/proc/${vm}/oom_score_adj`, "utf8"), "500\n")
      assert.strictEqual(getPriority(vm), Math.min(getPriority(aegis.daemonPid) + 5, 19))
      process.kill(vm, signal)
      const { ended } = await inState(aegis, "victim", "stopped")
      assert.deepInclude(ended, { _tag: "VmDied", cause: `killed by ${signal}` })
      await goesOn("steady")
      assert.strictEqual((await rest(aegis, "DELETE", "/v1/instances/victim")).status, 200)
    }
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances/steady")).body.state, "running")
  })

  it("T-216 a VM that dies while it is paused is stopped, and starts again", async () => {
    await create("sleeper", ticking)
    await running(aegis, "sleeper")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/sleeper/pause")).status, 200)
    process.kill(await vmOf(aegis, "sleeper"), "SIGKILL")
    const { ended } = await inState(aegis, "sleeper", "stopped")
    assert.strictEqual(ended._tag, "VmDied")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances", { handle: "sleeper" })).status, 200)
    await running(aegis, "sleeper")
  })

  it("T-234 a VM's process that somebody else stops is paused, and running when they let it go on", async () => {
    const vm = await vmOf(aegis, "sleeper")
    process.kill(vm, "SIGSTOP")
    await inState(aegis, "sleeper", "paused")
    process.kill(vm, "SIGCONT")
    await inState(aegis, "sleeper", "running")
    process.kill(vm, "SIGSTOP")
    await inState(aegis, "sleeper", "paused")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/sleeper/resume")).status, 200)
    assert.notStrictEqual(stateOf(vm), "T")
    await goesOn("sleeper")
    assert.include((await aegis.run(["why", "sleeper"])).stdout, "its process was found stopped")
    await rest(aegis, "DELETE", "/v1/instances/sleeper")
  })

  it("T-203 T-217 a VM that hangs before its guest answers is given up in time, and nothing of it is left", async () => {
    await create("hung", ["true"])
    const steady = await vmOf(aegis, "steady")
    const vm = await until("its process is there", () =>
      processesOf(aegis, "qemu-system").find((pid) => pid !== steady)
    )
    process.kill(vm, "SIGSTOP")
    const { ended } = await inState(aegis, "hung", "stopped")
    assert.deepInclude(ended, { _tag: "NotStarted", code: "BootTimeout" })
    assert.strictEqual(stateOf(vm), "")
    assert.deepStrictEqual(await settledMisfits(aegis), [])
    await rest(aegis, "DELETE", "/v1/instances/hung")
  })

  it("T-201 T-278 what leads to a guest is in directories of its user alone", () => {
    const [own = ""] = readdirSync(path.join(aegis.home, "data/run"))
    const mode = (file: string) => statSync(path.join(aegis.home, file)).mode & 0o777
    assert.deepStrictEqual([mode("data"), mode("data/run"), mode(`data/run/${own}`)], [0o700, 0o700, 0o700])
    assert.strictEqual(mode("aegisd.sock") & 0o077, 0)
  })

  it("T-205 T-302 a guest whose clock is off by years and that prints an end: its lines have the host's time, its end is its own", async () => {
    const id = await create("liar", [
      "sh",
      "-c",
      "date -s '2001-01-01 00:00:00' >/dev/null; date +%Y; echo 'process exited (code=0)'; exit 3"
    ])
    assert.deepInclude((await inState(aegis, "liar", "stopped")).ended, { _tag: "Exited", code: 3 })
    assert.deepStrictEqual(await linesOf(aegis, id), ["2001", "process exited (code=0)"])
    for (const entry of await logOf(aegis, id)) {
      if (entry._tag === "Line") assert.isBelow(Math.abs(Date.now() - entry.time.epochMillis), 600_000)
    }
    assert.strictEqual((await aegis.run(["instance", "wait", "liar"])).code, 3)
    await rest(aegis, "DELETE", "/v1/instances/liar")
  })

  it.each([
    ["forks without end", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"],
    [
      "opens files without end",
      "import os, time\nfor i in range(60):\n  os.fork()\n  try:\n    while True: os.open('/dev/null', 0)\n  except OSError: time.sleep(1000)"
    ],
    [
      "fills its disks and memory",
      "f = [open(d + '/x', 'wb') for d in ('/tmp', '/run', '/var')]\nwhile True:\n  try:\n    for one in f: one.write(bytes(1 << 20))\n  except OSError: pass"
    ]
  ])("T-231 T-229 a guest that %s can be stopped, and the others do not notice", async (_, program) => {
    await create("bomb", ["python3", "-c", `print("lit", flush=True)\n${program}`], 96)
    await until("it is lit", async () => {
      const { state } = (await rest(aegis, "GET", "/v1/instances/bomb")).body
      return state === "stopped" || (await lines("bomb")).includes("lit")
    })
    await new Promise((resolve) => setTimeout(resolve, 2000))
    await goesOn("steady")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/bomb/stop?timeout=1s")).status, 200)
    await inState(aegis, "bomb", "stopped")
    assert.strictEqual((await rest(aegis, "DELETE", "/v1/instances/bomb")).status, 200)
    assert.deepStrictEqual(await settledMisfits(aegis), [])
  })

  it("T-47 T-236 ten starts of one instance at once: one VM, and the others hear that it is on its way", async () => {
    await create("once", ["sleep", "1000"])
    await running(aegis, "once")
    await rest(aegis, "POST", "/v1/instances/once/stop?timeout=0s")
    const starts = Array.from({ length: 10 }, () => rest(aegis, "POST", "/v1/instances", { handle: "once" }))
    const statuses = (await Promise.all(starts)).map(({ status }) => status)
    assert.deepStrictEqual(
      [statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 409).length],
      [1, 9]
    )
    await running(aegis, "once")
    assert.lengthOf(processesOf(aegis, "qemu-system"), 2)
  })

  it("T-237 a stop while it boots, and a delete while it stops: each is answered, and nothing is left", async () => {
    await rest(aegis, "POST", "/v1/instances/once/stop?timeout=0s")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances", { handle: "once" })).status, 200)
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/once/stop?timeout=5s")).status, 200)
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances/once")).body.state, "stopped")
    await create("deaf", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    await running(aegis, "deaf")
    const [stopped, deleted] = await Promise.all([
      rest(aegis, "POST", "/v1/instances/deaf/stop?timeout=2s"),
      rest(aegis, "DELETE", "/v1/instances/deaf")
    ])
    // Whichever came first: the other found it as it was then.
    assert.oneOf(stopped.status, [200, 404])
    assert.strictEqual(deleted.status, 200)
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances/deaf")).status, 404)
    await rest(aegis, "DELETE", "/v1/instances/once")
    assert.deepStrictEqual(await settledMisfits(aegis), [])
  })

  it("T-228 64 MiB of memory are enough for a root file system that is larger", async () => {
    const disk = statSync(path.join(aegis.home, "base-rootfs/rootfs.ext4")).size
    assert.isAbove(disk, 64 * 1024 * 1024)
    assert.strictEqual(
      (await aegis.run(["run", "--memory", "64", "--", "python3", "-c", "print(6 * 7)"])).stdout,
      "42\n"
    )
  })

  it("T-243 a guest that floods its console costs the daemon no memory", async () => {
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${aegis.daemonPid}/status`, "utf8"))?.[1]) / 1024
    const before = rss()
    const done = await aegis.run([
      "run",
      "--memory",
      "64",
      "--",
      "sh",
      "-c",
      "head -c 8000000 /dev/zero | tr '\\0' x > /dev/console && echo over"
    ])
    assert.deepStrictEqual([done.code, done.stdout], [0, "over\n"], done.stderr)
    assert.isBelow(rss() - before, 64)
  })

  it("T-263 what is no request of ours, on each route of the socket, is none of the daemon's troubles", async () => {
    const pid = aegis.daemonPid
    const say = (bytes: string | Buffer) =>
      new Promise<string>((resolve) => {
        const socket = net.connect(path.join(aegis.home, "aegisd.sock"))
        let answer = ""
        socket.on("data", (piece) => (answer += piece.toString("latin1")))
        socket.on("error", () => undefined)
        socket.once("close", () => resolve(answer))
        socket.end(bytes)
      })
    const upgrade = `GET ${rpcPath} HTTP/1.1\r\nHost: aegis\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}\r\n\r\n`
    /** One unmasked, one masked, one of a length that is not there, one that is no MessagePack. */
    const frames = [
      "81020000",
      "828400000000c1c1c1c1",
      "82ff7fffffffffffffff",
      "8285000000009301c1c0c0",
      "88820000000003e8"
    ]
    for (const frame of frames) {
      assert.include(await say(Buffer.concat([Buffer.from(upgrade), Buffer.from(frame, "hex")])), "101")
    }
    await say("\0".repeat(100_000))
    await say("GET /v1/instances HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
    await say("POST /v1/instances HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n{")
    assert.strictEqual((await aegis.run(["status"])).code, 0)
    assert.strictEqual(aegis.daemonPid, pid)
  })

  it("T-274 a daemon that was stopped for a while, as with its laptop, goes on where it was", async () => {
    const pid = aegis.daemonPid
    const before = (await lines("steady")).length
    process.kill(pid, "SIGSTOP")
    const waiting = aegis.start(["instance", "list"])
    await new Promise((resolve) => setTimeout(resolve, 5000))
    process.kill(pid, "SIGCONT")
    assert.include((await waiting.ended).stdout, "steady")
    await until("it goes on", async () => (await lines("steady")).length > before + 50)
    const said = await lines("steady")
    assert.deepStrictEqual(
      said,
      said.map((_, index) => String(index + 1))
    )
  })

  it("T-261 down while one boots and an image is pulled from nobody ends both, and leaves nothing", async () => {
    const silent = net.createServer(() => undefined)
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
    const address = silent.address()
    const port = typeof address === "object" ? address?.port : undefined
    const pull = aegis.start(["image", "pull", `127.0.0.1:${port}/nobody/home:1`])
    await create("booting", ["true"])
    await until("its process is there", () => processesOf(aegis, "qemu-system").length === 2)
    const down = await aegis.run(["down"])
    assert.deepStrictEqual([down.code, down.stderr], [0, ""])
    assert.strictEqual((await pull.ended).code, 1)
    silent.close()
    await until("nothing is left", () => aegis.helpers().length === 0, 20)
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/run")), [])
  })

  it("S-002 T-283 without any network, loopback down: up, run and down work", async () => {
    const script = 'for c in up "run --memory 64 -- echo alone" status down; do "$1" $c || echo "failed: $c"; done'
    const unshare = process.getuid?.() === 0 ? "-n" : "-rn"
    const { stderr, stdout } = spawnSync("unshare", [unshare, "sh", "-c", script, "sh", path.join(dist, "aegis")], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...aegis.env },
      encoding: "utf8"
    })
    assert.include(stdout, "\nalone\n", stderr)
    assert.notInclude(stdout, "failed:", stderr)
  })

  it("T-277 a home of another user's is refused", async () => {
    if (process.getuid?.() !== 0) return
    const home = mkdtempSync(path.join(tmpdir(), "aegis-other-"))
    spawnSync("chown", ["65534", home])
    const { code, stderr } = await aegis.run(["up"], { env: { AEGIS_HOME: home } })
    rmSync(home, { recursive: true })
    assert.strictEqual(code, 1)
    assert.include(stderr, "belongs to user 65534")
  })
})
