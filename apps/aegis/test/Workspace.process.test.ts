/**
 * `aegis workspace` as a process, against the scripted daemon.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildProgram } from "./scripted/Program.ts"

const { aegis, clean, newHome } = buildProgram()

describe("aegis workspace", () => {
  const home = newHome()
  const workspace = async (...argv: ReadonlyArray<string>) => {
    const { code, stderr, stdout } = await aegis(["workspace", ...argv], { home })
    return { code, stderr, stdout: stdout.toString() }
  }
  beforeAll(async () => {
    assert.strictEqual((await aegis(["up"], { home })).code, 0)
  }, 60_000)
  afterAll(async () => {
    await aegis(["down"], { home })
    clean()
  })

  it("lists what there is, with sizes and users, and as JSON", async () => {
    const lines = (await workspace("list")).stdout.split("\n")
    assert.deepStrictEqual(
      lines.map((line) => line.split(/ {2,}/)),
      [["NAME", "SIZE", "FILES", "USED BY"], ["claw", "8.2 kB", "2", "web"], ["old", "> 1.5 MB", "> 200000", "-"], [""]]
    )
    const [claw] = JSON.parse((await workspace("list", "--json")).stdout)
    assert.deepInclude(claw, { name: "claw", bytes: 8192, entries: 2, complete: true })
    assert.deepStrictEqual(claw.used_by, [{ id: "inst-1", handle: "web", state: "stopped" }])
  })

  it("shows one in full", async () => {
    assert.strictEqual(
      (await workspace("inspect", "claw")).stdout,
      "Name:        claw\nPath:        /home/me/.aegis/data/workspaces/claw\nSize:        8.2 kB\nFiles:       2\nUsed by:     web (stopped)\n"
    )
    const { code, stderr } = await workspace("inspect", "nothing")
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: workspace "nothing" not found\n {2}try: /)
    assert.strictEqual((await workspace("inspect", "../x")).code, 2)
  })

  it("removes one that nobody uses, once, and refuses one in use with what to do", async () => {
    const inUse = await workspace("remove", "claw")
    assert.deepStrictEqual([inUse.code, inUse.stdout], [1, ""])
    assert.include(inUse.stderr, 'workspace "claw" is used by web\n')
    assert.include(inUse.stderr, "aegis instance delete web")
    assert.strictEqual((await workspace("remove", "old")).stdout, "Workspace old removed, 1.5 MB\n")
    assert.strictEqual((await workspace("remove", "old")).code, 1)
  })
})
