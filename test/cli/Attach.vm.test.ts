import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { busyboxTar } from "../product/busyboxDisk.ts"
import { inState, killDaemon, running } from "../product/Fleet.ts"
import { Product, until } from "../product/Product.ts"

describe("aegis attach, against the real daemon and a real guest", () => {
  let aegis: Product
  const start = (...words: ReadonlyArray<string>) => aegis.says("instance", "start", ...words)
  const attach = (...words: ReadonlyArray<string>) => aegis.run(["attach", ...words])
  beforeAll(async () => {
    aegis = await Product.make()
    const image = path.join(aegis.home, "busybox.tar")
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    writeFileSync(image, busyboxTar())
    const flags = ["--image", `rootfs:${image}`, "--memory", "128"]
    // Its command is a shell that takes its lines from whoever attaches.
    await start("-i", "--name", "shell", ...flags, "--", "sh")
    await running(aegis, "shell")
  }, 600_000)
  afterAll(() => aegis.remove())

  /** One more line for the shell. */
  const tell = async (line: string) => {
    const feeder = aegis.start(["attach", "-i", "--tail", "0", "shell"], { stdin: "open" })
    const said = `told ${Math.random()}`
    feeder.child.stdin?.write(`${line}\necho "${said}"\n`)
    await until("it has taken the line", () => feeder.stdout().includes(`${said}\n`))
    feeder.child.kill("SIGINT")
    assert.strictEqual((await feeder.ended).code, 130)
  }

  it("shows the last lines and goes on, each stream on its own; Ctrl+C leaves the command as it is", async () => {
    // One after the other: which of two streams is logged first is a matter of luck.
    const feeder = aegis.start(["attach", "-i", "--tail", "0", "shell"], { stdin: "open" })
    feeder.child.stdin?.write("for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $n; done\n")
    await until("the lines are logged", () => feeder.stdout().includes("line 12\n"))
    feeder.child.stdin?.write("echo oops >&2\n")
    await until("the error is logged", () => feeder.stderr() === "oops\n")
    feeder.child.kill("SIGINT")
    assert.strictEqual((await feeder.ended).code, 130)
    await tell(":")
    const two = [aegis.start(["attach", "--tail", "3", "shell"]), aegis.start(["attach", "--tail", "3", "shell"])]
    for (const one of two) {
      await until("the last lines are there", () => one.stdout().includes("told"))
      assert.match(one.stdout(), /^line 12\ntold [0-9.e-]+\n$/)
      assert.strictEqual(one.stderr(), "oops\n")
    }
    await tell("printf 'no end, \\377'; sleep 2; printf ' and on\\n'; echo more >&2")
    for (const one of two) {
      await until("what came is there", () => one.stdout().includes("and on\n"))
      assert.include(one.stdout(), "no end, \ufffd and on\n")
      await until("both streams are there", () => one.stderr() === "oops\nmore\n")
      one.child.kill("SIGINT")
      assert.strictEqual((await one.ended).code, 130)
    }
    assert.include(await aegis.says("instance", "info", "shell"), "State:       running")
  })

  it("every byte of a flood comes, over a reader that is slow, in order", async () => {
    const reader = aegis.start(["attach", "--tail", "1", "shell"])
    await until("it has joined", () => reader.stdout() + reader.stderr() !== "")
    reader.child.stdout?.pause()
    await tell("seq 1 100000")
    reader.child.stdout?.resume()
    const all = Array.from({ length: 100_000 }, (_, n) => `${n + 1}\n`).join("")
    await until("all is there", () => reader.stdout().includes("\n100000\n"))
    assert.include(reader.stdout(), all)
    reader.child.kill("SIGINT")
    await reader.ended
  })

  it("a daemon that dies ends it with 125; the next one has the same command", async () => {
    const reader = aegis.start(["attach", "shell"])
    await until("it has joined", () => reader.stdout() !== "")
    await killDaemon(aegis)
    const lost = await reader.ended
    assert.strictEqual(lost.code, 125)
    assert.include(lost.stderr, "error: the connection to aegisd was lost")
    assert.strictEqual((await aegis.run(["up"])).code, 0)
    await tell("echo the same $((40 + 2))")
    const joined = aegis.start(["attach", "shell"])
    await until("its words are there", () => joined.stdout().includes("the same 42\n"))
    joined.child.kill("SIGTERM")
    assert.strictEqual((await joined.ended).code, 143)
  })

  it("D-04 ends with the command's exit code, its last words shown; the end of -i's input is the command's", async () => {
    const watcher = aegis.start(["attach", "--tail", "0", "shell"])
    const fed = await aegis.run(["attach", "-i", "--tail", "0", "shell"], {
      input: "sleep 1; echo out; printf last >&2; exit 5\n"
    })
    assert.deepStrictEqual([fed.code, fed.stdout, fed.stderr], [5, "out\n", "last"])
    assert.strictEqual((await watcher.ended).code, 5)
    await inState(aegis, "shell", "stopped")
    const refused = await attach("shell")
    assert.strictEqual(refused.code, 125)
    assert.match(refused.stderr, /^error: instance "shell" is stopped\n {2}try: aegis logs shell /)
    await aegis.says("instance", "start", "--name", "shell")
    // One that starts is waited for; what it takes is in its record.
    const again = await aegis.run(["attach", "-i", "--tail", "0", "shell"], { input: "kill -9 $$\n" })
    assert.strictEqual(again.code, 137, again.stderr)
  })

  it("one that was started without -i takes no input; a stop is 143, and so is a deletion", async () => {
    const image = path.join(aegis.home, "busybox.tar")
    const flags = ["--image", `rootfs:${image}`, "--memory", "128"]
    await start("--name", "deaf", ...flags, "--", "sh", "-c", "echo up; sleep 10000")
    await running(aegis, "deaf")
    const refused = await aegis.run(["attach", "-i", "deaf"], { input: "word\n" })
    assert.deepStrictEqual([refused.code, refused.stdout], [125, ""])
    assert.match(refused.stderr, /running without a standard input\n {2}try: start it with -i /)
    const stopped = aegis.start(["attach", "deaf"])
    await until("it has joined", () => stopped.stdout() === "up\n")
    await aegis.says("instance", "stop", "deaf", "--timeout", "0")
    assert.strictEqual((await stopped.ended).code, 143)
    await aegis.says("instance", "start", "--name", "deaf")
    const gone = aegis.start(["attach", "--tail", "0", "deaf"])
    await until("it is up again", () => gone.stdout() === "up\n")
    await aegis.says("instance", "delete", "deaf")
    assert.deepStrictEqual([(await gone.ended).code, gone.stderr()], [143, ""])
    const unresolved = await attach("deaf")
    assert.strictEqual(unresolved.code, 125)
    assert.include(unresolved.stderr, 'could not resolve "deaf" to an instance')
  })
})
