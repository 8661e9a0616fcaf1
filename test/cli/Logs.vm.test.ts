import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { bundled } from "../product/bundled.ts"
import { logRows } from "../logs/rows.ts"
import { dist, Product, start } from "../product/Product.ts"

/** As a program of its own, since it mounts, and a plain user may do so only in a namespace. */
describe("the log of a guest", () => {
  const work = mkdtempSync(path.join(tmpdir(), "aegis-log-"))
  let aegis: Product
  let said = ""

  beforeAll(async () => {
    aegis = await Product.make()
    const program = path.join(work, "logrows.cjs")
    bundled(path.join(import.meta.dirname, "../logs/rows.main.ts"), program)
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const args = [program, dist, aegis.home, work, "24", "30000", "5", "4000000"]
    const { stderr, stdout } = await start("unshare", [unshare, process.execPath, ...args], { env: aegis.env }).ended
    said = `${stdout}${stderr}`
  }, 600_000)
  afterAll(async () => {
    await aegis?.remove()
    rmSync(work, { recursive: true, force: true })
  })

  it.each(Object.keys(logRows))("%s", (title) => {
    assert.include(said.split("\n"), `ok ${title}`, said.replaceAll(/^ok .*\n/gm, ""))
  })
})
