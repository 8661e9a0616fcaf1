/**
 * The transcripts of the README and of docs/cli-reference.md, each run from top to bottom as one session. `AEGIS_UPDATE_DOCS=1` writes what
 * is printed into the document instead of comparing it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { freePort } from "../../libs/runtime/test/freePort.ts"
import { dist, Product, start } from "../product/Product.ts"
import { linesOf, shapeOf } from "../product/Transcript.ts"

const update = process.env["AEGIS_UPDATE_DOCS"] === "1"

describe.each([
  { name: "README.md", blocks: 1 },
  { name: "docs/cli-reference.md", blocks: 6 }
])("$name", ({ blocks: least, name }) => {
  const document = path.resolve(import.meta.dirname, "../..", name)
  let product: Product
  let router = 0
  let scratch = ""

  beforeAll(async () => {
    router = await freePort()
    product = await Product.make({ AEGIS_ROUTER_PORT: String(router) })
    scratch = mkdtempSync(path.join(tmpdir(), "aegis-reference-"))
    mkdirSync(path.join(scratch, "app"))
    symlinkSync(product.home, path.join(scratch, ".aegis"))
  })
  afterAll(async () => {
    await product?.remove()
    rmSync(scratch, { recursive: true, force: true })
  })

  const printed = async (command: string) => {
    const env = { ...product.env, HOME: scratch, PATH: `${dist}:${process.env["PATH"] ?? ""}` }
    const cwd = path.join(scratch, "app")
    const { stdout } = await start("sh", ["-c", `exec 2>&1; ${command.replaceAll(":8099", `:${router}`)}`], {
      cwd,
      env
    }).ended
    return stdout.replaceAll(`:${router}`, ":8099").replaceAll(product.home, "~/.aegis").replaceAll(scratch, "~")
  }

  it("prints what it says", { timeout: 600_000 }, async () => {
    const text = readFileSync(document, "utf8")
    const blocks = [...text.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block = ""]) => block)
    assert.isAtLeast(blocks.length, least)
    let written = text
    for (const block of blocks) {
      let session = ""
      for (const { command, printed: expected } of linesOf(block)) {
        const said = await printed(command)
        session += `$ ${command}\n${said}`
        if (!update) assert.strictEqual(shapeOf(said), shapeOf(expected), command)
      }
      written = written.replace(`\`\`\`console\n${block}`, () => `\`\`\`console\n${session}`)
    }
    if (update) writeFileSync(document, written)
  })
})
