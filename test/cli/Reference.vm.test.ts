/**
 * The transcripts of the README and of docs/cli-reference.md, each run from top to bottom as one session. `AEGIS_UPDATE_DOCS=1` writes what
 * is printed into the document instead of comparing it.
 */
import { readFileSync, symlinkSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { linesOf, shapeOf, terminal } from "../product/Transcript.ts"

const update = process.env["AEGIS_UPDATE_DOCS"] === "1"

describe.each([
  { name: "README.md", blocks: 1 },
  { name: "docs/cli-reference.md", blocks: 6 }
])("$name", ({ blocks: least, name }) => {
  const document = path.resolve(import.meta.dirname, "../..", name)
  let at: Awaited<ReturnType<typeof terminal>>

  beforeAll(async () => {
    at = await terminal()
    symlinkSync(at.product.home, path.join(at.home, ".aegis"))
  })
  afterAll(() => at?.remove())

  const printed = async (command: string) => {
    const { stdout } = await at.begin(command).ended
    return at.shown(stdout).replaceAll(at.product.home, "~/.aegis").replaceAll(at.home, "~")
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
