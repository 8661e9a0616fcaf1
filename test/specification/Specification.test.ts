import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { format } from "prettier"
import { assert, describe, it } from "vitest"
import { rows, rowsOf, table, tests } from "./Rows.ts"
import { foreign, waiting } from "./Waiting.ts"

const root = path.resolve(import.meta.dirname, "../..")
const document = path.join(root, "docs/SPECIFICATION.md")

describe("the numbered statements", () => {
  const held = tests(root)
  const excused = new Map([
    ...waiting.flatMap(([reason, text]) => rowsOf(text).map((row) => [row, `not yet: ${reason}`] as const)),
    ...foreign.flatMap(([reason, text]) => rowsOf(text).map((row) => [row, `does not apply: ${reason}`] as const))
  ])

  it("each has a test that names it, or a reason why not", () => {
    assert.deepStrictEqual(
      rows.filter((row) => !held.has(row) && !excused.has(row)),
      []
    )
  })

  it("no reason outlives the test that was missing", () => {
    assert.deepStrictEqual(
      [...excused.keys()].filter((row) => held.has(row) || !rows.includes(row)),
      []
    )
  })

  it("no test names a number that there is not", () => {
    assert.deepStrictEqual(
      [...held.keys()].filter((row) => !rows.includes(row)),
      []
    )
  })

  it("S-028 what a command finds in a guest is written down, with each path and variable that a test of guests looks at", () => {
    const conventions = readFileSync(path.join(root, "docs/AGENT_CONVENTIONS.md"), "utf8")
    const named = ["/workspace", "/tmp", "/run", "/var", "PATH", "HOME", "TERM", "AEGIS_INSTANCE_ID", "AEGIS_HANDLE"]
    for (const word of [...named, "aegis-harness", "SIGTERM", "EROFS"]) assert.include(conventions, `${word}`)
  })

  it("docs/SPECIFICATION.md is the table as it stands (AEGIS_UPDATE_DOCS=1 writes it anew)", async () => {
    const text = await format(
      [
        "# The specification and its tests",
        "",
        "S: what the product does; D: decisions; T: bad input and faults. Each number, and the files of the tests that name it in their titles. Written by",
        "`AEGIS_UPDATE_DOCS=1 npx vitest run --project unit test/specification`, and held by the same test.",
        "",
        ...table(held, excused),
        ""
      ].join("\n"),
      { parser: "markdown" }
    )
    if (process.env["AEGIS_UPDATE_DOCS"] === "1") writeFileSync(document, text)
    assert.strictEqual(readFileSync(document, "utf8"), text)
  })
})
