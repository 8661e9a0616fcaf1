import { existsSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { inState, rest, running } from "../product/Fleet.ts"
import { Product } from "../product/Product.ts"

const fill = ["sh", "-c", "echo begun; while :; do dd if=/dev/zero of=big bs=1M count=16 2>/dev/null; done"]

describe("a file system of a workspace on which little is left", () => {
  let aegis: Product
  beforeAll(async () => {
    // More than any disk has: little is left from the beginning.
    aegis = await Product.make({ AEGIS_DISK_RESERVE: "1000000000" })
    assert.strictEqual((await aegis.run(["up"])).code, 0)
  }, 600_000)
  afterAll(() => aegis.remove())

  const start = (name: string, ...command: ReadonlyArray<string>) =>
    aegis.says("instance", "start", "--name", name, "--memory", "128", "--workspace", name, "--", ...command)

  it("T-150 a guest that goes on writing there is stopped, and why says so; one that does not write goes on", async () => {
    await start("quiet", "sleep", "1000")
    await start("filler", ...fill)
    await running(aegis, "quiet")
    const { ended } = await inState(aegis, "filler", "stopped")
    assert.deepStrictEqual(ended, { _tag: "Stopped" })
    assert.match(
      await aegis.says("why", "filler"),
      /^filler \(inst-\d+\) is stopped: .*by the daemon \(less than 1000000000 MiB or 1000 files were left where its workspace is, and it wrote on\)/
    )
    assert.isTrue(existsSync(path.join(aegis.home, "data/workspaces/filler/big")))
    assert.strictEqual((await rest(aegis, "GET", "/v1/instances/quiet")).body.state, "running")
  })

  it("T-150 a run that does so ends", async () => {
    const ran = await aegis.run(["run", "--memory", "128", "--", ...fill])
    assert.deepStrictEqual([ran.code, ran.stdout], [125, "begun\n"], ran.stderr)
    assert.strictEqual(
      ran.stderr,
      "error: the instance was stopped while its command ran\n  try: aegis events --since 1m shows by whom, and why\n"
    )
    assert.include(await aegis.says("events", "--since", "1m"), "left where its workspace is, and it wrote on")
  })
})
