import { readdirSync, statSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { killDaemon, running } from "../product/Fleet.ts"
import { Product, type Running, until } from "../product/Product.ts"

const color = { env: { FORCE_COLOR: "1" } }
const cyan = (text: string) => `\u001b[36m[exec]\u001b[0m ${text}`
const yellow = (text: string) => `\u001b[33m[system]\u001b[0m ${text}`

describe("aegis logs, against the real daemon and a real guest", () => {
  let aegis: Product
  let id = ""
  let follower: Running
  let stored = ""

  beforeAll(async () => {
    aegis = await Product.make()
    await aegis.says("up")
    const command = ["sh", "-c", "echo first; echo other >&2; exec sleep 100000"]
    const said = await aegis.says("instance", "start", "--name", "box", "--memory", "64", "--", ...command)
    id = /^Instance started: (\S+)$/m.exec(said)?.[1] ?? ""
    await running(aegis, "box")
    follower = aegis.start(["logs", "box", "-f"], color)
    await aegis.run(["exec", "box", "--", "sh", "-c", "echo one; echo err >&2"])
    await aegis.says("instance", "pause", "box")
    await aegis.run(["exec", "box", "--", "echo", "two"])
  }, 240_000)
  afterAll(() => aegis?.remove())

  it("S-159 S-160 S-164 --follow and -f show what was there and what comes, and end with Ctrl+C", async () => {
    const other = aegis.start(["logs", id, "--follow"], color)
    await until("it has come", () => other.stdout().includes(cyan("two\n")))
    await aegis.says("exec", "box", "--", "echo", "three")
    await until("what comes", () => other.stdout().includes(cyan("three\n")))
    assert.isNull(other.child.exitCode)
    other.child.kill("SIGINT")
    assert.strictEqual((await other.ended).code, 130)
    await until("the first follower", () => follower.stdout().includes(cyan("three\n")))
  })

  it("S-162 S-169 it is on the disk, for nobody else, and survives a daemon's death", async () => {
    await killDaemon(aegis)
    const broken = await follower.ended
    assert.notStrictEqual(broken.code, 0)
    const folder = path.join(aegis.home, "data/logs", id)
    for (const name of readdirSync(folder)) assert.strictEqual(statSync(path.join(folder, name)).mode & 0o777, 0o600)
    await aegis.says("up")
    assert.match(await aegis.says("exec", "box", "--", "echo", "four"), /^four\n$/)
    follower = aegis.start(["logs", "box", "-f"], color)
    await until("all of it", () => follower.stdout().includes(cyan("four\n")))
  })

  it("S-163 S-165 S-166 S-167 S-168 of a stopped instance: primary bare, exec cyan, system yellow, in order; standard error apart", async () => {
    await aegis.says("instance", "stop", "box")
    const shown = await aegis.run(["logs", "box"], color)
    stored = shown.stdout
    assert.deepStrictEqual(
      stored
        .split("\n")
        .filter((line) => /first|\[exec\]|paused|resumed|stopped/.test(line))
        .map((line) => line.replace(/(paused|resumed|stopped).*/, "$1")),
      [
        "first",
        cyan("one"),
        yellow("paused"),
        yellow("resumed"),
        cyan("two"),
        cyan("three"),
        cyan("four"),
        yellow("stopped")
      ]
    )
    assert.include(shown.stderr, "other\n")
    assert.include(shown.stderr, cyan("err\n"))
    assert.strictEqual(shown.code, 0)
  })

  it("T-300 what is no number of lines and no time is refused", async () => {
    for (const bad of [["--tail=-1"], ["--since", "never"]]) {
      assert.strictEqual((await aegis.run(["logs", "box", ...bad])).code, 2)
    }
  })

  it("S-164 S-170 a follower ends when it is deleted, and has shown the same; then there is none to be found", async () => {
    await aegis.says("instance", "delete", "box")
    const { code, stdout } = await follower.ended
    assert.deepStrictEqual([code, stdout.slice(0, stored.length)], [0, stored])
    const none = await aegis.run(["logs", "box"])
    assert.deepStrictEqual([none.code, none.stdout], [1, ""])
    assert.match(none.stderr, /^error: no instance found for "box"\n/)
  })
})
