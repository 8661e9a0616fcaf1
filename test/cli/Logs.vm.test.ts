import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { logCases, logRows } from "../product/LogRows.ts"
import { dist, Product, start } from "../product/Product.ts"

describe("the log of a guest", () => {
  let aegis: Product
  let said = ""

  beforeAll(async () => {
    aegis = await Product.make()
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const PATH = `${dist}:${process.env["PATH"] ?? ""}`
    const rows = logRows({ capMib: 48, size: 60_000, pace: 0, followers: 5 })
    const { stderr, stdout } = await start("unshare", [unshare, "python3", "-c", rows], { env: { ...aegis.env, PATH } })
      .ended
    said = `${stdout}${stderr}`
  }, 600_000)
  afterAll(() => aegis?.remove())

  it.each(logCases)("%s", (title) => {
    assert.include(said.split("\n"), `ok ${title.split(" ")[0]}`, said.replaceAll(/^ok .*\n/gm, ""))
  })
})
