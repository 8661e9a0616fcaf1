import { assert, beforeAll, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { buildSync } from "esbuild"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import * as path from "node:path"

const modules = path.dirname(path.dirname(createRequire(import.meta.url).resolve("better-sqlite3/package.json")))

let program = ""
/** The daemon as one file, as it is shipped; only the native module stays outside. */
beforeAll(() => {
  const folder = fs.mkdtempSync(path.join(tmpdir(), "aegis-crash-"))
  program = path.join(folder, "daemon.cjs")
  buildSync({
    entryPoints: [path.join(import.meta.dirname, "crash/daemon.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["better-sqlite3"],
    logLevel: "error"
  })
  return () => fs.rmSync(folder, { recursive: true })
})

interface Ended {
  readonly killed: boolean
  /** Whole lines: one that the kill cut in two says nothing. */
  readonly said: ReadonlyArray<string>
  readonly log: string
}

/** Runs the daemon until it ends; `kill` is told of each piece of output, and may kill it. */
const daemon = (
  home: string,
  mode: "life" | "load" | "look",
  env: Readonly<Record<string, string>> = {},
  kill: (said: string, end: () => void) => void = () => undefined
): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [program, home, mode], {
      env: { PATH: process.env["PATH"], NODE_PATH: modules, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let said = ""
    let log = ""
    const end = () => child.kill("SIGKILL")
    kill(said, end)
    child.stdout.setEncoding("utf8").on("data", (text: string) => kill((said += text), end))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text))
    child.once("close", (_, signal) =>
      resolve({ killed: signal === "SIGKILL", said: said.split("\n").slice(0, -1), log })
    )
  })

interface Found {
  readonly list: ReadonlyArray<{ readonly handle?: string; readonly id: string; readonly state: string }>
  readonly verdict: { readonly events: number; readonly firstBad?: unknown }
}

const foundBy = (ended: Ended): Found => {
  const line = ended.said.find((text) => text.startsWith("found "))
  if (line === undefined) throw new Error(`it found nothing: ${ended.said.join("\n")}\n${ended.log}`)
  return JSON.parse(line.slice("found ".length))
}

/** What is known of each handle: what was acknowledged last, unless something was begun since. */
class Known {
  readonly #states = new Map<string, string | undefined>()

  hear(said: ReadonlyArray<string>): void {
    for (const line of said) {
      const [word = "", first = "", second = ""] = line.split(" ")
      if (word === "doing") this.#states.set(second, undefined)
      if (word === "created") this.#states.set(first, "created")
      if (word === "done") this.#states.set(first, second)
      if (word === "refused") this.#states.set(first, undefined)
    }
  }

  /** A simulated VM ends with its daemon, so whatever was alive is stopped now. */
  check({ list, verdict }: Found, where: string): void {
    assert.isUndefined(verdict.firstBad, where)
    assert.deepStrictEqual(
      list.filter(({ state }) => state !== "stopped"),
      [],
      where
    )
    const handles = list.map(({ handle }) => handle)
    for (const [handle, state] of this.#states) {
      if (state === "gone") assert.notInclude(handles, handle, where)
      else if (state !== undefined) assert.include(handles, handle, where)
    }
  }
}

/** What is left in the home besides what belongs to the records. */
const orphans = (home: string, list: Found["list"]) => {
  const names = (directory: string) => {
    const full = path.join(home, "data", directory)
    return fs.existsSync(full) ? fs.readdirSync(full) : []
  }
  const ids = new Set(list.map(({ id }) => id))
  return [
    ...names("workspaces").filter((name) => !ids.has(name.replace(/^run-/, ""))),
    ...names("logs").filter((name) => !ids.has(name)),
    ...names("run")
  ]
}

/** Each life that was begun has come to exactly one end. */
const unended = (home: string) => {
  const db = new Sqlite(path.join(home, "data/aegis.db"), { readonly: true })
  try {
    const rows = db
      .prepare("SELECT instance_id AS id, data FROM events WHERE instance_id IS NOT NULL ORDER BY seq")
      .all()
    const open = new Map<string, number>()
    for (const row of rows as ReadonlyArray<{ id: string; data: string }>) {
      const { _tag } = JSON.parse(row.data)
      const change = ["InstanceCreated", "StartRequested"].includes(_tag) ? 1 : _tag === "InstanceEnded" ? -1 : 0
      const count = (open.get(row.id) ?? 0) + change
      assert.include([0, 1], count, `${row.id} after ${_tag}`)
      open.set(row.id, count)
    }
    assert.strictEqual(db.pragma("integrity_check", { simple: true }), "ok")
    return [...open].filter(([, count]) => count !== 0)
  } finally {
    db.close()
  }
}

const inHome = async (work: (home: string) => Promise<void>) => {
  const home = fs.mkdtempSync(path.join(tmpdir(), "aegis-crash-"))
  try {
    fs.mkdirSync(path.join(home, "data"), { mode: 0o700 })
    await work(home)
  } finally {
    fs.rmSync(home, { recursive: true, force: true })
  }
}

describe("a daemon that dies", () => {
  it("T-251 P3 P7 at each crash point of a whole life: one state, one end, what was acknowledged is there, nothing is orphaned", async () => {
    const points: Array<string> = []
    for (let n = 1; ; n++) {
      let over = false
      await inHome(async (home) => {
        const died = await daemon(home, "life", { AEGIS_CRASH_AT: String(n) })
        assert.notInclude(died.said.join("\n"), "failed", died.log)
        over = !died.killed
        if (over) assert.strictEqual(died.said.at(-1), "lived")
        else points.push(/crash point \d+: ([^"]+)/.exec(died.log)?.[1] ?? died.log)
        const next = await daemon(home, "look")
        assert.isFalse(next.killed)
        const found = foundBy(next)
        const known = new Known()
        known.hear(died.said)
        known.check(found, `crash point ${n}: ${points.at(-1)}`)
        assert.deepStrictEqual(orphans(home, found.list), [], `crash point ${n}: ${points.at(-1)}`)
        assert.deepStrictEqual(unended(home), [], `crash point ${n}: ${points.at(-1)}`)
      })
      if (over) break
    }
    // Every point that there is was passed, or this test says less than it seems to.
    const sources = path.join(import.meta.dirname, "../src")
    const source = fs
      .readdirSync(sources)
      .map((file) => fs.readFileSync(path.join(sources, file), "utf8"))
      .join("\n")
    const named = [...source.matchAll(/crashPoint\("([^"]+)"\)/g)].map(([, name]) => name)
    assert.sameMembers([...new Set(points)], named)
  }, 300_000)

  it("T-252 kill -9 at 100 moments under load: database and chain whole, nothing lost that was acknowledged", async () => {
    await inHome(async (home) => {
      const known = new Known()
      let events = 0
      for (let round = 0; round < 100; round++) {
        // In every fifth round before it has said anything: while it reads, recovers or makes its files.
        const early = round % 5 === 4
        let begun = false
        const died = await daemon(home, "load", {}, (said, end) => {
          if (begun || (!early && !said.includes("\n"))) return
          begun = true
          setTimeout(end, early ? 30 + ((round * 53) % 400) : (round * 37) % 250)
        })
        assert.isTrue(died.killed, died.said.join("\n") + died.log)
        const line = died.said.find((text) => text.startsWith("found "))
        if (line !== undefined) {
          const found = foundBy(died)
          known.check(found, `round ${round}`)
          assert.isAtLeast(found.verdict.events, events)
          events = found.verdict.events
        }
        known.hear(died.said)
      }
      const last = foundBy(await daemon(home, "look"))
      known.check(last, "after the last")
      assert.deepStrictEqual(orphans(home, last.list), [])
      assert.deepStrictEqual(unended(home), [])
      assert.isAbove(events, 200)
    })
  }, 300_000)
})
