/**
 * The table of docs/cli-reference.md is the manual that the command line is checked by. `AEGIS_UPDATE_DOCS=1` writes it anew.
 */
import { readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { format } from "prettier"
import { assert, describe, it } from "vitest"
import { commands } from "../../apps/aegis/src/Manual.ts"
import type { CommandManual } from "../../apps/aegis/src/ManualEntry.ts"

const document = path.resolve(import.meta.dirname, "../../docs/cli-reference.md")
const begin = /(<!-- Written by test[^\n]*-->\n)/
const end = "<!-- The end of what is written by the test. -->"

const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``

const row = ({ flags, guestCommand, path: words, positionals, summary }: CommandManual) => {
  const named = ["aegis", ...words, ...positionals, ...(guestCommand === false ? [] : ["-- COMMAND"])].join(" ")
  const switches = flags.map(({ name, short, value }) =>
    code(`${short === undefined ? "" : `${short}, `}${name}${value === undefined ? "" : ` ${value}`}`)
  )
  return `| ${code(named)} | ${summary} | ${switches.join(" ")} |`
}

describe("the reference of the command line", () => {
  it("has every command and flag of the manual", async () => {
    const written = readFileSync(document, "utf8")
    const [before = "", marker = "", rest = ""] = written.split(begin)
    const after = rest.slice(rest.indexOf(end))
    const table = ["| command | what it does | flags |", "| --- | --- | --- |", ...commands.map(row)].join("\n")
    const text = await format(`${before}${marker}\n${table}\n\n${after}`, { parser: "markdown", printWidth: 120 })
    if (process.env["AEGIS_UPDATE_DOCS"] === "1") return writeFileSync(document, text)
    assert.strictEqual(written, text)
  })
})
