import { spawnSync } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { afterEach, assert, describe, it } from "vitest"
import { inState, linesOf, logOf, rest, running, stateOf, vmOf } from "../product/Fleet.ts"
import { dist, Product, type Running, start, until } from "../product/Product.ts"

const ticking = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"]

/** A shell's report in lines of `NAME: VALUE`. */
const reported = (text: string) =>
  Object.fromEntries(
    text.split("\n").flatMap((line) => (line.includes(": ") ? [line.split(/: (.*)/s).slice(0, 2)] : []))
  )

/** Clock ticks of processor time that a process has taken. */
const ticksOf = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return Number(fields[11]) + Number(fields[12])
}

describe("a machine that gives less than it might", () => {
  const made: Array<Product> = []
  const daemons: Array<Running> = []
  const product = async () => {
    const one = await Product.make()
    made.push(one)
    return one
  }
  /** The daemon in the foreground, begun by another program that changes what it gets. */
  const daemon = async (aegis: Product, command: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
    const [program = "", ...args] = [...command, path.join(dist, "aegisd")]
    const running = start(program, args, { env: { ...aegis.env, ...env } })
    daemons.push(running)
    await until("it serves", async () => (await aegis.run(["status"])).stdout.startsWith("aegisd: running"))
    return running
  }
  afterEach(async () => {
    for (const one of made.splice(0)) await one.remove()
    for (const one of daemons.splice(0)) await one.ended
  })

  it("T-265 T-275 a full disk: a start is refused with DiskFull; looking, pausing, stopping and deleting work; all is well when there is room", async () => {
    const aegis = await product()
    const script = `mount -t tmpfs -o size=64m,mode=700 tmpfs "$AEGIS_HOME/data" || exit 1
"$1" up >/dev/null
"$1" instance start --name ticking --memory 64 -- sh -c 'while :; do echo tick; sleep 0.05; done' >/dev/null
"$1" instance start --name spare --memory 64 -- sleep 1000 >/dev/null
for i in $(seq 300); do "$1" instance list --running | grep -c inst- | grep -q 2 && break; done
head -c 100M /dev/zero > "$AEGIS_HOME/data/ballast" 2>/dev/null
started=$("$1" instance start --name more --memory 64 -- true 2>&1); echo "start: $? $started" | head -1
echo "list: $("$1" instance list | grep -c .) $("$1" instance list --running | grep -c ticking)"
echo "why: $("$1" why ticking | head -1)"
"$1" status >/dev/null; echo "status: $?"
"$1" instance pause ticking >/dev/null; echo "pause: $?"
"$1" instance resume ticking >/dev/null; echo "resume: $?"
"$1" instance stop spare >/dev/null; echo "spare: $?"
"$1" instance delete spare >/dev/null; echo "delete: $?"
echo "spare is: $("$1" instance list | grep -c spare)"
full=$(df --output=avail "$AEGIS_HOME/data" | tail -1); [ "$full" -lt 1500 ] && echo "full: yes"
rm "$AEGIS_HOME/data/ballast"
"$1" instance start --name more --memory 64 -- sh -c 'exit 7' >/dev/null; "$1" instance wait more; echo "again: $?"
"$1" instance stop ticking >/dev/null; echo "stop: $?"
"$1" audit verify >/dev/null; echo "audit: $?"
"$1" down >/dev/null; echo "down: $?"`
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const { stderr, stdout } = spawnSync("unshare", [unshare, "sh", "-c", script, "sh", path.join(dist, "aegis")], {
      env: { ...process.env, ...aegis.env },
      encoding: "utf8"
    })
    const report = reported(stdout)
    assert.match(report["start"] ?? stderr, /^1 error: no space left on device: .*\/data\/aegis\.db$/)
    assert.match(report["why"] ?? "", /^ticking \(inst-\d+\) is running\.$/)
    const { again, audit, down, list, status, stop } = report
    assert.deepStrictEqual(
      { again, audit, down, list, status, stop },
      { again: "7", audit: "0", down: "0", list: "3 1", status: "0", stop: "0" }
    )
    const { delete: deleted, full, pause, resume, spare } = report
    assert.deepStrictEqual(
      { deleted, full, pause, resume, spare, left: report["spare is"] },
      { deleted: "0", full: "yes", pause: "0", resume: "0", spare: "0", left: "0" }
    )
  })

  it("T-267 no inode left: a start is refused with a reason, looking works, and all is well when there are some", async () => {
    const aegis = await product()
    const script = `mount -t tmpfs -o size=64m,nr_inodes=200,mode=700 tmpfs "$AEGIS_HOME/data" || exit 1
"$1" up >/dev/null
"$1" instance start --name one --memory 64 -- true >/dev/null; "$1" instance wait one; echo "before: $?"
mkdir "$AEGIS_HOME/data/many"; i=0; while touch "$AEGIS_HOME/data/many/$i" 2>/dev/null; do i=$((i+1)); done
"$1" instance start --name more --memory 64 -- true >/dev/null 2>&1; "$1" instance wait more >/dev/null 2>&1; echo "during: $?"
echo "list: $("$1" instance list | grep -c one)"
rm -r "$AEGIS_HOME/data/many"
"$1" instance start --name again --memory 64 -- sh -c 'exit 7' >/dev/null; "$1" instance wait again; echo "again: $?"
"$1" down >/dev/null; echo "down: $?"`
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const { stderr, stdout } = spawnSync("unshare", [unshare, "sh", "-c", script, "sh", path.join(dist, "aegis")], {
      env: { ...process.env, ...aegis.env },
      encoding: "utf8"
    })
    const { again, before, down, during, list } = reported(stdout)
    assert.deepStrictEqual({ again, before, down, list }, { again: "7", before: "0", down: "0", list: "1" }, stderr)
    assert.notStrictEqual(during, "0")
  })

  it("T-271 a daemon of 64 MiB of heap passes a flood on, whole", async () => {
    const aegis = await product()
    await daemon(aegis, [process.execPath, "--max-old-space-size=64"])
    const flood = await aegis.run([
      "run",
      "--memory",
      "64",
      "--",
      "sh",
      "-c",
      "head -c 67108864 /dev/zero | tr '\\0' x"
    ])
    assert.deepStrictEqual([flood.code, flood.stdout.length], [0, 67_108_864], flood.stderr)
    assert.strictEqual((await aegis.run(["status"])).code, 0)
  })

  it.each([64, 256])(
    "T-269 %i descriptors: more connections than that cost neither the daemon nor a guest, and it idles",
    async (descriptors) => {
      const aegis = await product()
      await aegis.run(["up"])
      const pid = aegis.daemonPid
      const given = { handle: "web", command: ticking, memory_mb: 64 }
      assert.strictEqual((await rest(aegis, "POST", "/v1/instances", given)).status, 201)
      await running(aegis, "web")
      spawnSync("prlimit", ["--pid", String(pid), `--nofile=${descriptors}:${descriptors}`])
      const vm = await vmOf(aegis, "web")
      const sockets = Array.from({ length: descriptors + 100 }, () => {
        const socket = net.connect(path.join(aegis.home, "aegisd.sock"))
        socket.on("error", () => undefined)
        return socket
      })
      await new Promise((resolve) => setTimeout(resolve, 1000))
      const before = ticksOf(pid)
      await new Promise((resolve) => setTimeout(resolve, 3000))
      // A hundred ticks are a second: a loop that spins takes nearly all of three.
      assert.isBelow(ticksOf(pid) - before, 150)
      for (const socket of sockets) socket.destroy()
      await until(
        "it answers again",
        async () => (await rest(aegis, "GET", "/v1/status").catch(() => undefined))?.status === 200,
        20
      )
      assert.strictEqual(aegis.daemonPid, pid)
      assert.strictEqual((await rest(aegis, "GET", "/v1/instances/web")).body.state, "running")
      assert.notStrictEqual(stateOf(vm), "")
      const { id } = (await rest(aegis, "GET", "/v1/instances/web")).body
      const said = await linesOf(aegis, id)
      assert.deepStrictEqual(
        said,
        said.map((_, index) => String(index + 1))
      )
      // Less than virtiofsd can work with: that is said, and the daemon goes on.
      await rest(aegis, "POST", "/v1/instances", { handle: "poor", command: ["true"], memory_mb: 64 })
      const { ended } = await inState(aegis, "poor", "stopped")
      assert.strictEqual(ended._tag, "NotStarted", JSON.stringify(ended))
      assert.match(ended.message, /descriptors|EMFILE|too many open files/i, JSON.stringify(ended))
      assert.strictEqual((await rest(aegis, "DELETE", "/v1/instances/web")).status, 200)
      assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
    }
  )

  it("T-272 T-304 a clock that jumps by ten years: ids, events and log keep their order, times of waiting stay what they are", async () => {
    const aegis = await product()
    // The wall clock as the daemon sees it: the machine's, and what the file says.
    const jump = path.join(aegis.home, "jump")
    const clock = path.join(aegis.home, "clock.cjs")
    writeFileSync(jump, "0")
    writeFileSync(
      clock,
      `const { readFileSync } = require("node:fs"), real = Date.now
const now = () => real() + Number(readFileSync(${JSON.stringify(jump)}, "utf8"))
Date.now = now
globalThis.Date = new Proxy(Date, { construct: (of, args) => new of(...(args.length === 0 ? [now()] : args)) })\n`
    )
    await daemon(aegis, [process.execPath, "--require", clock])
    const years = (count: number) => writeFileSync(jump, String(count * 365.25 * 86_400_000))
    const ids: Array<string> = []
    const create = async (handle: string, ...command: ReadonlyArray<string>) => {
      const { body } = await rest(aegis, "POST", "/v1/instances", { handle, command, memory_mb: 64 })
      ids.push(body.id)
    }
    await create("web", ...ticking)
    await running(aegis, "web")
    await create("old", "true")
    await inState(aegis, "old", "stopped")
    for (const count of [10, -10, 1 / 8766]) {
      years(count)
      await create(`h${ids.length}`, "true")
      const { stopped_at: stoppedAt } = await inState(aegis, `h${ids.length - 1}`, "stopped")
      const seen = (Date.parse(stoppedAt) - Date.now()) / (365.25 * 86_400_000)
      assert.closeTo(seen, count, 0.001)
      assert.strictEqual((await rest(aegis, "GET", "/v1/instances/web")).body.state, "running")
      const vm = await vmOf(aegis, "web")
      assert.strictEqual((await rest(aegis, "POST", "/v1/instances/web/pause")).status, 200)
      assert.strictEqual(stateOf(vm), "T")
      assert.strictEqual((await rest(aegis, "POST", "/v1/instances/web/resume")).status, 200)
    }
    assert.deepStrictEqual(
      ids,
      [...ids].sort((a, b) => (BigInt(a.slice(5)) < BigInt(b.slice(5)) ? -1 : 1))
    )
    // Ten years back, nothing has been stopped for a week; ten years on, everything has.
    years(-10)
    assert.deepStrictEqual((await rest(aegis, "POST", "/v1/instances/prune?older_than=7d")).body.pruned, 0)
    const begun = Date.now()
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/web/stop?timeout=2s")).status, 200)
    assert.isBelow(Date.now() - begun, 15_000)
    years(10)
    assert.isAtLeast((await rest(aegis, "POST", "/v1/instances/prune?older_than=7d")).body.pruned, 2)
    const [id = ""] = ids
    if ((await rest(aegis, "GET", `/v1/instances/${id}`)).status === 200) {
      const entries = await logOf(aegis, id)
      const seqs = entries.flatMap((entry) => (entry._tag === "Line" ? [entry.seq] : []))
      assert.deepStrictEqual(
        seqs,
        seqs.map((_, index) => index + 1)
      )
    }
    assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
    rmSync(clock)
  })
})
