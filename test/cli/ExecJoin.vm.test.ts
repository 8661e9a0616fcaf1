import { existsSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { ExecBox } from "../product/ExecBox.ts"
import { inState, killDaemon, linesOf, qmp, rest, vmOf } from "../product/Fleet.ts"
import { until } from "../product/Product.ts"

describe("aegis exec: left running, joined, many, and at the end of their instance", () => {
  let box: ExecBox
  beforeAll(async () => {
    box = await ExecBox.make()
  }, 600_000)
  afterAll(() => box.remove())

  it("one that was left running is joined, also over kill -9 of the daemon, without a byte lost or twice", async () => {
    const go = path.join(box.workspace, "go")
    const script = "echo one; while [ ! -e go ]; do sleep 0.1; done; read x; echo got $x; exit 5"
    const job = await box.detached(script, "-i")
    const left = box.aegis.start(["exec", "web", "--", "sh", "-c", "echo up; sleep 9876"])
    await until("the other is up", () => left.stdout() === "up\n")
    const watcher = box.aegis.start(["exec", "--attach", job])
    await until("its words are there", () => watcher.stdout() === "one\n")
    const second = await box.exec("--attach", job)
    assert.strictEqual(second.code, 125)
    assert.include(second.stderr, "is being read already")
    watcher.child.kill("SIGINT")
    assert.strictEqual((await watcher.ended).code, 130)
    const chatty = await box.detached("seq 1 20000; while [ ! -e go ]; do sleep 0.1; done; echo end")
    await until("all is logged", async () => (await box.lines(chatty)).length === 20_000)

    await killDaemon(box.aegis)
    assert.strictEqual((await left.ended).code, 125)
    assert.strictEqual((await box.aegis.run(["up"])).code, 0)
    await box.goneFromGuest("9876")
    writeFileSync(go, "")
    const joined = await box.aegis.run(["exec", "-i", "--attach", job], { input: "word\n" })
    assert.deepStrictEqual([joined.code, joined.stdout], [5, "got word\n"], joined.stderr)
    const read = await box.exec("--attach", chatty)
    const all = Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join("")
    assert.strictEqual(read.stdout, `${all}end\n`)
    assert.strictEqual((await box.exec("--attach", chatty)).code, 125)
    assert.strictEqual((await box.lines(chatty)).join("\n"), `${all}end`)
    rmSync(go)
  })

  it("a guest that hangs as a daemon comes back holds nobody up, and who joins its command waits for it", async () => {
    const job = await box.detached("while [ ! -e go ]; do sleep 0.1; done; exit 7")
    await killDaemon(box.aegis)
    await qmp(box.aegis, "stop")
    assert.strictEqual((await box.aegis.run(["up"])).code, 0)
    assert.strictEqual((await rest(box.aegis, "GET", "/v1/instances/web")).body.state, "running")
    writeFileSync(path.join(box.workspace, "go"), "")
    const joined = box.aegis.start(["exec", "--attach", job])
    await qmp(box.aegis, "cont")
    assert.strictEqual((await joined.ended).code, 7, joined.stderr())
    rmSync(path.join(box.workspace, "go"))
  })

  it("T-306 one that nobody reads goes on: the guest keeps its last words, the log all of them", async () => {
    const job = await box.detached("seq 1 150000; touch /workspace/done; exit 3")
    await until("it has ended", () => existsSync(path.join(box.workspace, "done")))
    await until("all is logged", async () => (await box.lines(job)).length === 150_000)
    const read = await box.exec("--attach", job)
    assert.strictEqual(read.code, 3)
    assert.isTrue(read.stdout.endsWith("149999\n150000\n"))
    assert.isBelow(read.stdout.length, 800_000)
    rmSync(path.join(box.workspace, "done"))
  })

  it("20 at once, each gets its own words; beyond 32 the guest refuses with a name", async () => {
    const many = Array.from({ length: 20 }, (_, n) =>
      box.aegis.start(["exec", "web", "--", "sh", "-c", `seq ${n * 1000} ${n * 1000 + 999}; exit ${n}`])
    )
    for (const [n, one] of many.entries()) {
      const { code, stdout } = await one.ended
      const want = Array.from({ length: 1000 }, (_, k) => `${n * 1000 + k}\n`).join("")
      assert.deepStrictEqual([code, stdout], [n, want])
    }
    const crowd = Array.from({ length: 32 }, () => box.detached("exec sleep 1000"))
    const ids = await Promise.all(crowd)
    const over = await box.sh("true")
    assert.strictEqual(over.code, 125)
    assert.match(over.stderr, /^error: instance "web": 32 commands run in this guest already/)
    await box.aegis.run(["instance", "stop", "web", "--timeout", "0"])
    assert.strictEqual((await box.exec("--attach", ids[0] ?? "")).code, 125)
    await box.aegis.run(["instance", "start", "--name", "web"])
  }, 240_000)

  it("T-46 T-215 an instance that is deleted or dies under a command ends it", async () => {
    const sleeping = box.aegis.start(["exec", "web", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("it is up", () => sleeping.stdout() === "up\n")
    process.kill(await vmOf(box.aegis, "web"), "SIGKILL")
    const died = await sleeping.ended
    assert.strictEqual(died.code, 125)
    assert.match(died.stderr, /^error: instance "web": the machine died: .*\n {2}try: aegis why web/)
    await inState(box.aegis, "web", "stopped")
    await box.aegis.run(["instance", "start", "--name", "web"])
    const other = box.aegis.start(["exec", "web", "--", "sh", "-c", "echo up; sleep 1000"])
    await until("it is up", () => other.stdout() === "up\n")
    assert.strictEqual((await box.aegis.run(["instance", "delete", "web"])).code, 0)
    // The guest kills everything before it goes; whether that is still heard is a matter of luck.
    assert.include([125, 137], (await other.ended).code)
    assert.deepStrictEqual(await linesOf(box.aegis, box.id), [])
    await until("nothing is left", async () => (await box.aegis.left()).length === 0, 15)
  })
})
