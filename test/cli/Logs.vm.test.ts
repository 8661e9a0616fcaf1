import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { logCases, logRows } from "../conformance/logs.suite.ts"
import { dist, Product, start } from "../product/Product.ts"

describe("the log of a guest", () => {
  let aegis: Product
  let said = ""

  beforeAll(async () => {
    aegis = await Product.make()
    const unshare = process.getuid?.() === 0 ? "-m" : "-rm"
    const PATH = `${dist}:${process.env["PATH"] ?? ""}`
    const rows = logRows({ capMib: 64, size: 80_000, followers: 5, rest: 0, setsClock: false })
    const { stderr, stdout } = await start("unshare", [unshare, "python3", "-c", rows], { env: { ...aegis.env, PATH } })
      .ended
    said = `${stdout}${stderr}`
  }, 600_000)
  afterAll(() => aegis?.remove())

  it.each(logCases)("%s", (title) => {
    assert.include(said.split("\n"), `ok ${title.split(" ")[0]}`, said.replaceAll(/^ok .*\n/gm, ""))
  })
})
