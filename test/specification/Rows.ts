/**
 * The numbered statements of the specification, and the tests whose titles name them. S: what the product does; D: decisions; T: bad
 * input and faults.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

export interface Held {
  readonly file: string
  readonly title: string
}

const last = { S: 203, D: 24, T: 306 } as const
type Kind = keyof typeof last

const nameOf = (kind: Kind, number: number) =>
  `${kind}-${String(number).padStart(kind === "T" ? 1 : kind === "D" ? 2 : 3, "0")}`

/** Every number there is, in order. */
export const rows: ReadonlyArray<string> = (["S", "D", "T"] as const).flatMap((kind) =>
  Array.from({ length: last[kind] }, (_, index) => nameOf(kind, index + 1))
)

/** `S-121 to S-132`, `S-121…S-132` and `T-11, T-134` in a title; Go's names spell `T209`. */
const rowsIn = (title: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [, kind, from, to] of title.matchAll(/\b([SDT])-(\d+)(?:\s*(?:…|–|to)\s*[SDT]-(\d+))?/g)) {
    for (let number = Number(from); number <= Number(to ?? from); number++) {
      if (isKind(kind)) found.push(nameOf(kind, number))
    }
  }
  for (const [, number] of title.matchAll(/^Test(?:T(\d+))/g)) found.push(nameOf("T", Number(number)))
  return found
}

const isKind = (text: string | undefined): text is Kind => text !== undefined && text in last

/** In TypeScript a title is what is given to `it` or `describe`, and any text that begins with a number: those of tables and of suites. */
const titleOf = {
  ts: /(?:\b(?:it|describe)(?:\.\w+)*\(\s*|(?=["'`][SDT]-\d))(["'`])((?:(?!\1)[^\\]|\\.)*)\1/g,
  go: /\bfunc (Test\w+)|\bt\.Run\(("|`)([^"`]*)\2/g
}

const skipped = new Set(["node_modules", "dist", ".git", ".cache", "target"])

const testFiles = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return []
    const full = path.join(directory, entry.name)
    if (entry.isDirectory()) return testFiles(full)
    return /\.test\.ts$|suite\.ts$|_test\.go$/.test(entry.name) ? [full] : []
  })

/** For each number, the tests that name it. A Go test may name numbers in the comment above it. */
export const tests = (root: string): ReadonlyMap<string, ReadonlyArray<Held>> => {
  const found = new Map<string, Array<Held>>()
  for (const file of testFiles(root)) {
    const text = readFileSync(file, "utf8")
    const titles = file.endsWith(".go")
      ? [...text.matchAll(titleOf.go)].map((match) => ({
          title: match[1] ?? match[3] ?? "",
          named: `${match[1] ?? match[3] ?? ""} ${commentAbove(text, match.index)}`
        }))
      : [...text.matchAll(titleOf.ts)].map(([, , title = ""]) => ({ title, named: title }))
    for (const { named, title } of titles) {
      for (const row of new Set(rowsIn(named))) {
        const held = found.get(row) ?? []
        held.push({ file: path.relative(root, file), title })
        found.set(row, held)
      }
    }
  }
  return found
}

const commentAbove = (text: string, index: number) => /(?:^\/\/.*\n)+$/m.exec(text.slice(0, index))?.[0] ?? ""

/** The numbers in a text such as `S-147…S-158 T-306`. */
export const rowsOf = rowsIn

/** The list of `docs/SPECIFICATION.md`. */
export const table = (
  held: ReadonlyMap<string, ReadonlyArray<Held>>,
  reasons: ReadonlyMap<string, string>
): ReadonlyArray<string> => [
  ...rows.map((row) => {
    const files = [...new Set((held.get(row) ?? []).map(({ file }) => `\`${file}\``))]
    return `- ${row}: ${files.length > 0 ? files.join(", ") : (reasons.get(row) ?? "")}`
  })
]
