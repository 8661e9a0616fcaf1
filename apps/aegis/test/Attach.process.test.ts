/**
 * `aegis attach` as a process, against the scripted daemon.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildProgram, until } from "./scripted/Program.ts"

const { aegis, clean, newHome, start } = buildProgram()
afterAll(clean)

describe("attach", () => {
  const home = newHome()
  beforeAll(async () => {
    const up = await aegis(["up"], { home })
    assert.strictEqual(up.code, 0, up.stderr)
  }, 60_000)
  afterAll(() => aegis(["down"], { home }))

  it("shows the command's own words alone, and an instance that is stopped or deleted ends it with 143", async () => {
    for (const end of ["stop", "delete"]) {
      await aegis(["instance", "start", "--name", end, "--", "sleep"], { home })
      const reader = start(["attach", end], { home })
      await until(() => reader.seen().includes("now\n"), reader.child)
      assert.strictEqual((await aegis(["instance", end, end], { home })).code, 0)
      const { code, stderr, stdout } = await reader.done
      assert.strictEqual(code, 143, stderr)
      assert.match(stdout.toString("latin1"), /^one\n\xff\x00\x1b\[2J\n\$ now\n/)
      assert.match(stderr, /^four\n\[system\] 2 entries/)
    }
  }, 60_000)

  it("D-21 what is stopped or is not there is 125, a --tail that is no number 2", async () => {
    const stopped = await aegis(["attach", "stop"], { home })
    assert.strictEqual(stopped.code, 125)
    assert.match(stopped.stderr, /^error: instance "stop" is stopped\n {2}try: aegis logs stop /)
    const nobody = await aegis(["attach", "nobody"], { home })
    assert.strictEqual(nobody.code, 125)
    assert.include(nobody.stderr, 'could not resolve "nobody" to an instance')
    assert.strictEqual((await aegis(["attach", "--tail", "x", "stop"], { home })).code, 2)
  }, 60_000)
})
