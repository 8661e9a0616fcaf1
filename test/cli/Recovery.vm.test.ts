import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import {
  inState,
  killDaemon,
  linesOf,
  misfits,
  processesOf,
  rest,
  running,
  settledMisfits,
  stateOf,
  vmOf
} from "../product/Fleet.ts"
import { dist, Product, start, until } from "../product/Product.ts"

/** Says a number a line, some hundred a second, and the same to the console, whose reader dies with the daemon. */
const chatty = `import itertools, time
console = open("/dev/console", "w")
for i in itertools.count(1):
    print(i, flush=True)
    if i % 20 == 0: print("console", i, "x" * 1000, file=console, flush=True)
    if i % 10 == 0: time.sleep(0.02)`

/** Ends when its workspace says so, and says so there. */
const ender = "while [ ! -e go ]; do sleep 0.1; done; echo last words; touch ended; exit 9"

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

describe("a daemon that comes after another", () => {
  let aegis: Product
  let ending = ""
  const ids = new Map<string, string>()
  beforeAll(async () => {
    aegis = await Product.make()
    ending = mkdtempSync(path.join(tmpdir(), "aegis-ending-"))
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(async () => {
    await aegis.remove()
    rmSync(ending, { recursive: true, force: true })
  })

  const create = async (handle: string, command: ReadonlyArray<string>, workspace?: string) => {
    const given = { handle, command, memory_mb: 64, ...(workspace === undefined ? {} : { workspace }) }
    const { body, status } = await rest(aegis, "POST", "/v1/instances", given)
    assert.strictEqual(status, 201, JSON.stringify(body))
    ids.set(handle, body.id)
  }
  const get = async (target: string) => (await rest(aegis, "GET", `/v1/instances/${target}`)).body
  const up = async () => {
    const done = await aegis.run(["up"])
    assert.strictEqual(done.code, 0, done.stderr)
  }
  const lines = (handle: string, source = "primary") => linesOf(aegis, ids.get(handle) ?? "", source)
  /** The numbers 1, 2, 3, … and nothing else; says how many. */
  const consecutive = async (handle: string) => {
    const said = await lines(handle)
    const wrong = said.findIndex((line, index) => line !== String(index + 1))
    assert.strictEqual(wrong, -1, `line ${wrong + 1} of ${said.length} is ${said[wrong]}, after ${said[wrong - 1]}`)
    return said.length
  }

  it("S-132 T-219 T-251 kill -9 with guests that run, talk, are paused, stopped, end, die or belong to a run", async () => {
    await create("chatty", ["python3", "-c", chatty])
    await create("frozen", ["sleep", "1000"])
    await create("done", ["sh", "-c", "echo done; exit 4"])
    await create("ender", ["sh", "-c", ender], ending)
    await create("victim", ["sleep", "1000"])
    await running(aegis, "chatty", "frozen", "ender", "victim")
    const ephemeral = aegis.start(["run", "--memory", "64", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("the run is up", () => ephemeral.stdout() === "up\n")
    await inState(aegis, "done", "stopped")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/frozen/pause")).status, 200)
    const pids = await Promise.all(["chatty", "frozen", "ender", "victim"].map((name) => vmOf(aegis, name)))
    const [chattyPid = 0, frozenPid = 0, , victimPid = 0] = pids
    const stoppedAt = (await get("done")).stopped_at
    await until("the chatty one has said something", async () => (await lines("chatty")).length > 200)

    await killDaemon(aegis)
    assert.strictEqual((await ephemeral.ended).code, 125)
    assert.strictEqual(stateOf(frozenPid), "T")
    process.kill(victimPid, "SIGKILL")
    writeFileSync(path.join(ending, "go"), "")
    await until("the ender has ended", () => existsSync(path.join(ending, "ended")))
    // What a daemon may leave when it dies in the middle of something: an unfinished workspace, a directory and a process of no record.
    mkdirSync(path.join(aegis.home, "data/workspaces/run-inst-1000000000000000001"), { mode: 0o700 })
    const stray = path.join(aegis.home, "data/run/0badc0de")
    mkdirSync(stray, { mode: 0o700 })
    const orphan = start("sleep", ["1000"])
    const startTime = readFileSync(`/proc/${orphan.child.pid}/stat`, "utf8").split(" ")[21]
    writeFileSync(path.join(stray, "vmm.pid"), `${orphan.child.pid} ${startTime}\n`)
    const before = await consecutive("chatty")
    await pause(500)

    await up()
    // Who is served first finds every state true: no waiting here, but for an end that the guest has yet to tell.
    assert.strictEqual((await get("chatty")).state, "running")
    assert.strictEqual((await get("frozen")).state, "paused")
    assert.deepStrictEqual([await vmOf(aegis, "chatty"), await vmOf(aegis, "frozen")], [chattyPid, frozenPid])
    assert.strictEqual(stateOf(frozenPid), "T")
    // S-131.
    const done = await get("done")
    assert.deepStrictEqual(
      [done.state, done.stopped_at, done.ended],
      ["stopped", stoppedAt, { _tag: "Exited", code: 4 }]
    )
    const victim = await get("victim")
    assert.deepStrictEqual([victim.state, victim.ended._tag], ["stopped", "VmDied"])
    const ended = await inState(aegis, "ender", "stopped", 20)
    assert.deepStrictEqual(ended.ended, { _tag: "Exited", code: 9 })
    assert.strictEqual((await aegis.run(["instance", "wait", "ender"])).code, 9)
    assert.deepStrictEqual(await lines("ender"), ["last words"])
    assert.deepStrictEqual(await lines("done"), ["done"])
    // D-06: what a run had asked for is nobody's any more.
    assert.lengthOf((await rest(aegis, "GET", "/v1/instances")).body, 5)
    assert.strictEqual((await orphan.ended).signal, "SIGKILL")
    assert.deepStrictEqual(await settledMisfits(aegis), [])
    await until("the chatty one goes on", async () => (await consecutive("chatty")) > before + 500)
    assert.include(await lines("chatty", "system"), "aegisd has started again and goes on with it")
  })

  it("P3 three more kills in the middle of the output: no line is missing and none comes twice", async () => {
    const pid = await vmOf(aegis, "chatty")
    for (let round = 0; round < 3; round++) {
      const before = await consecutive("chatty")
      await until("there is more", async () => (await lines("chatty")).length > before + 100)
      await killDaemon(aegis)
      await pause(round * 400)
      await up()
      assert.strictEqual((await get("chatty")).state, "running")
    }
    const before = await consecutive("chatty")
    await until("it goes on", async () => (await consecutive("chatty")) > before + 100)
    assert.strictEqual(await vmOf(aegis, "chatty"), pid)
    assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
  })

  it("S-134 one that was adopted paused goes on, and can be stopped", async () => {
    const pid = await vmOf(aegis, "frozen")
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/frozen/resume")).status, 200)
    assert.notStrictEqual(stateOf(pid), "T")
    const stopped = await aegis.run(["instance", "stop", "frozen"])
    assert.deepStrictEqual([stopped.code, stopped.stdout], [0, "Instance frozen stopped\n"])
    assert.strictEqual(stateOf(pid), "")
    assert.deepStrictEqual((await get("frozen")).ended, { _tag: "Stopped" })
  })

  it("S-127 what was lost while nobody was there can be started again, and why tells of it", async () => {
    assert.match(
      (await aegis.run(["why", "victim"])).stdout,
      /^victim \(inst-\d+\) is stopped: its VM died: .*, as the daemon found when it started/
    )
    const again = await aegis.run(["instance", "start", "--name", "victim"])
    assert.strictEqual(again.stdout, `Instance restarted: ${ids.get("victim")}\n`)
    await running(aegis, "victim")
  })

  it("down --keep leaves the guests to the next daemon: the same processes, and not a line lost", async () => {
    const pids = await Promise.all([vmOf(aegis, "chatty"), vmOf(aegis, "victim")])
    const daemon = aegis.daemonPid
    const down = await aegis.run(["down", "--keep"])
    assert.deepStrictEqual(
      [down.code, down.stdout],
      [0, `aegisd stopping (pid ${daemon})\naegisd stopped\n2 instance(s) left running; aegis up goes on with them\n`]
    )
    assert.isFalse(existsSync(path.join(aegis.home, "aegisd.sock")))
    assert.notInclude(pids.map(stateOf), "")
    const before = await consecutive("chatty")
    await pause(700)
    await up()
    assert.deepStrictEqual(await Promise.all([vmOf(aegis, "chatty"), vmOf(aegis, "victim")]), pids)
    await until("it goes on", async () => (await consecutive("chatty")) > before + 200)
    assert.deepStrictEqual(await misfits(aegis), [])
  })

  it("T-256 T-257 ten ups at once after a kill: one daemon, which goes on with every guest once", async () => {
    const pid = await vmOf(aegis, "chatty")
    await killDaemon(aegis)
    // Twenty programs and two guests on two cores: the two seconds of S-032 are no matter here.
    const env = { AEGIS_UP_TIMEOUT: "60" }
    const all = await Promise.all(Array.from({ length: 10 }, () => aegis.run(["up"], { env })))
    assert.deepStrictEqual(
      all.map(({ code }) => code),
      all.map(() => 0),
      all.map(({ stderr }) => stderr).join("")
    )
    assert.lengthOf(
      all.filter(({ stdout }) => stdout === `aegisd started (pid ${aegis.daemonPid})\n`),
      1
    )
    assert.deepStrictEqual([(await get("chatty")).state, await vmOf(aegis, "chatty")], ["running", pid])
    const adoptions = async () =>
      (await rest(aegis, "GET", "/v1/events?target=chatty")).body.filter(
        ({ data }: { data: { _tag: string } }) => data._tag === "InstanceAdopted"
      ).length
    // Six daemons have come after the first: four after a kill, one after down --keep, and this one.
    await until("it is adopted", async () => (await adoptions()) === 6)
    const before = await consecutive("chatty")
    await until("it goes on", async () => (await consecutive("chatty")) > before + 100)
  })

  it("S-032 a daemon that is told to go while it still looks around leaves what it has found; up waits for one that takes long", async () => {
    const pid = await vmOf(aegis, "chatty")
    const { body } = await rest(aegis, "GET", "/v1/events?target=chatty")
    const socket = String(body[1].data.vm.detail.channelSocket)
    await killDaemon(aegis)
    // One whose process is stopped has to answer before the daemon serves, and to be stopped again.
    process.kill(pid, "SIGSTOP")
    renameSync(socket, `${socket}.away`)
    const daemon = start(path.join(dist, "aegisd"), [], { env: aegis.env })
    await until("it has taken its home", () => aegis.daemonPid === daemon.child.pid)
    await pause(500)
    assert.strictEqual((await aegis.run(["down"])).code, 0)
    await daemon.ended
    const waiting = aegis.start(["up"])
    await pause(4000)
    assert.isNull(waiting.child.exitCode)
    renameSync(`${socket}.away`, socket)
    assert.strictEqual((await waiting.ended).code, 0, waiting.stderr())
    assert.deepStrictEqual([(await get("chatty")).state, stateOf(pid)], ["paused", "T"])
    assert.strictEqual((await rest(aegis, "POST", "/v1/instances/chatty/resume")).status, 200)
    assert.deepStrictEqual([(await get("chatty")).state, await vmOf(aegis, "chatty")], ["running", pid])
    assert.deepStrictEqual(await misfits(aegis), [])
    const before = await consecutive("chatty")
    await until("it goes on", async () => (await consecutive("chatty")) > before + 100)
  })

  it("S-132 after the machine has booted again all of it is stopped by HostLost, cleared away, and can be started", async () => {
    await killDaemon(aegis)
    for (const pid of [...processesOf(aegis, "qemu-system"), ...processesOf(aegis, "virtiofsd")]) {
      process.kill(pid, "SIGKILL")
    }
    const id = path.join(ending, "boot_id")
    writeFileSync(id, "00000000-1111-2222-3333-444444444444\n")
    // Another boot is another boot id: one of our own is laid over the kernel's, for this daemon alone.
    const script = `mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" up`
    const unshare = process.getuid?.() === 0 ? ["-m"] : ["-rm"]
    const booted = spawnSync("unshare", [...unshare, "sh", "-c", script, "sh", id, path.join(dist, "aegis")], {
      env: { ...process.env, ...aegis.env },
      encoding: "utf8"
    })
    assert.strictEqual(booted.status, 0, booted.stderr)
    for (const name of ["chatty", "victim"]) {
      const { ended, state } = await get(name)
      assert.deepStrictEqual([state, ended._tag], ["stopped", "HostLost"])
    }
    assert.match(
      (await aegis.run(["why", "chatty"])).stdout,
      /^chatty \(inst-\d+\) is stopped: it was lost: the machine has booted since/
    )
    // The probe's guest is gone when it answers this.
    await aegis.run(["status"])
    assert.deepStrictEqual(await misfits(aegis), [])
    assert.deepStrictEqual(readdirSync(path.join(aegis.home, "data/run")), [])
    assert.strictEqual((await aegis.run(["instance", "start", "--name", "victim"])).code, 0)
    await running(aegis, "victim")
  })

  it("S-042 S-044 D-24 down stops the guests in time, also one that ignores SIGTERM; S-131 their records are there at the next up", async () => {
    await create("deaf", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"])
    await until("it ignores SIGTERM", async () => (await lines("deaf")).includes("deaf"))
    assert.strictEqual((await aegis.run(["down"])).code, 0)
    assert.deepStrictEqual(processesOf(aegis, ""), [])
    await up()
    const { ended, state } = await get("victim")
    assert.deepStrictEqual([state, ended], ["stopped", { _tag: "Stopped" }])
    assert.match(
      (await aegis.run(["why", "victim"])).stdout,
      /is stopped: it was stopped by the daemon \(it was told to stop\)/
    )
    assert.lengthOf((await rest(aegis, "GET", "/v1/instances?state=stopped")).body, 6)
    assert.strictEqual((await aegis.run(["audit", "verify"])).code, 0)
  })
})
