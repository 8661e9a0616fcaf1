import { assert, beforeAll, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { buildSync } from "esbuild"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { type InstanceRecord, InstanceRecords, Journal, journalAt, recordAfter } from "../src/index.ts"
import { directory } from "./sample.ts"

const modules = path.dirname(path.dirname(createRequire(import.meta.url).resolve("better-sqlite3/package.json")))
const environment = { ...process.env, NODE_PATH: modules }

let program: Uint8Array = new Uint8Array()

/** The writer as one file, as the daemon is; only the native module stays outside. */
beforeAll(() => {
  const { outputFiles } = buildSync({
    entryPoints: [path.join(import.meta.dirname, "crash/writer.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["better-sqlite3"],
    write: false
  })
  program = outputFiles[0]?.contents ?? program
})

const workshop = Effect.map(directory, (root) => {
  const writer = path.join(root, "writer.cjs")
  fs.writeFileSync(writer, program)
  const data = path.join(root, "data")
  fs.mkdirSync(data, { mode: 0o700 })
  return { writer, data, file: path.join(data, "journal.db") }
})

/** Runs it until it has said `lines` lines and a little longer, and kills it; gives what it has said. */
const killAfter = (writer: string, file: string, lines: number, wait: number) =>
  Effect.async<string>((resume) => {
    const child = spawn(process.execPath, [writer, file, "live"], {
      env: environment,
      stdio: ["ignore", "pipe", "inherit"]
    })
    let said = ""
    let waiting = false
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (waiting || said.split("\n").length <= lines) return
      waiting = true
      setTimeout(() => child.kill("SIGKILL"), wait)
    })
    child.once("close", () => resume(Effect.succeed(said)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** A line that the kill cut in two acknowledges nothing. */
const acknowledged = (said: string, kind: string) =>
  said
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => (line.startsWith(`${kind} `) ? [line.slice(kind.length + 1)] : []))

const fill = (command: ReadonlyArray<string>) => {
  const [name = "", ...args] = command
  const { stdout } = spawnSync(name, args, { env: environment, encoding: "utf8", timeout: 60_000 })
  return stdout.trim().split("\n")
}

const works = (command: string, ...args: ReadonlyArray<string>) => spawnSync(command, args).status === 0
const mayMount = works("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
const hasFiu = works("fiu-run", "-x", "-f", "", "true")

describe("a journal whose daemon is killed or whose disk fails", () => {
  it.scopedLive(
    "T-252 T-253 P3 kill -9 in 30 rounds of writing: the database and the chain are whole, everything acknowledged is there",
    () =>
      Effect.gen(function* () {
        const { file, writer } = yield* workshop
        const known = new Set<string>()
        let last = 0
        for (let round = 0; round < 30; round++) {
          const said = yield* killAfter(writer, file, 1 + (round % 5) * 3, (round * 7) % 23)
          assert.notInclude(said, "ended")
          const db = new Sqlite(file)
          assert.strictEqual(db.pragma("integrity_check", { simple: true }), "ok")
          db.close()
          for (const id of acknowledged(said, "record")) {
            assert.isFalse(known.has(id), "an id came twice")
            known.add(id)
          }
          const removed = acknowledged(said, "removed")
          // The kill may have come between the removal and the word of it.
          const uncertain = acknowledged(said, "leaving").filter((id) => !removed.includes(id))
          for (const id of [...removed, ...uncertain]) known.delete(id)
          last = Math.max(last, ...acknowledged(said, "event").map(Number))
          yield* Effect.gen(function* () {
            const { verify } = yield* Journal
            const { events, firstBad } = yield* verify
            assert.isUndefined(firstBad)
            assert.isAtLeast(events, last)
            const listed = yield* (yield* InstanceRecords).list()
            const ids = new Set<string>(listed.map(({ id }) => id))
            assert.deepStrictEqual(
              [...known].filter((id) => !ids.has(id)),
              []
            )
            for (const id of removed) assert.isFalse(ids.has(id))
          }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
        }
        yield* Effect.gen(function* () {
          const folded = new Map<string, InstanceRecord>()
          yield* Stream.runForEach((yield* Journal).events(), (event) =>
            Effect.sync(() => {
              const key = event.instanceId ?? ""
              const record = recordAfter(Option.fromNullable(folded.get(key)), event)
              folded.delete(key)
              if (Option.isSome(record)) folded.set(key, record.value)
            })
          )
          const byId = (a: InstanceRecord, b: InstanceRecord) => a.id.localeCompare(b.id)
          const listed = yield* (yield* InstanceRecords).list()
          assert.deepStrictEqual([...listed].sort(byId), [...folded.values()].sort(byId))
        }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
        assert.isAbove(known.size, 30)
      }),
    120_000
  )

  it.scopedLive.skipIf(!mayMount)(
    "T-265 a full disk: DiskFull, reading goes on, nothing is half written, and writing goes on when there is room",
    () =>
      Effect.gen(function* () {
        const { data, file, writer } = yield* workshop
        const inside = `mount -t tmpfs -o size=1m,mode=700 tmpfs "$1" && exec "$2" "$3" "$4" fill`
        const lines = fill(["unshare", "-rm", "sh", "-c", inside, "sh", data, process.execPath, writer, file])
        assert.lengthOf(lines, 6, lines.join("\n"))
        assert.include(lines[0], "failed DiskFull no space left on device: ")
        assert.strictEqual(lines[1], "again DiskFull")
        assert.strictEqual(lines[2], "listed 1 true")
        assert.match(lines[3] ?? "", /^verified \{"events":(\d+)\} \1$/)
        assert.strictEqual(lines[4], "after fine")
        assert.match(lines[5] ?? "", /^verified \{"events":(\d+)\} \1$/)
      }),
    60_000
  )

  it.scopedLive(
    "T-268 a limit on the size of files: StoreUnavailable that says where to look, and the chain is whole",
    () =>
      Effect.gen(function* () {
        const { file, writer } = yield* workshop
        const lines = fill(["prlimit", "--fsize=600000", process.execPath, writer, file, "fill"])
        assert.include(lines[0], "failed StoreUnavailable")
        assert.strictEqual(lines[2], "listed 1 true")
        assert.match(lines[5] ?? "", /^verified \{"events":(\d+)\} \1$/)
      })
  )

  it.scopedLive.skipIf(!hasFiu)(
    "T-266 a sync that fails is not taken for one that was done: nothing more is written until the daemon starts again",
    () =>
      Effect.gen(function* () {
        const { data, file, writer } = yield* workshop
        for (let round = 0; round < 4; round++) {
          execFileSync("find", [data, "-mindepth", "1", "-delete"])
          const fault = "enable_random name=posix/io/sync/fsync,probability=0.03,failinfo=5"
          const lines = fill(["fiu-run", "-x", "-f", "", "-c", fault, process.execPath, writer, file, "fill"])
          // It may fail as the journal is made, too.
          if (!lines[0]?.startsWith("failed")) {
            assert.include(lines.join("\n"), "StoreUnavailable")
            continue
          }
          assert.include(lines[0], "failed StoreUnavailable")
          assert.strictEqual(lines[1], "again StoreUnavailable")
          assert.strictEqual(lines[4], "after StoreUnavailable")
          assert.match(lines[5] ?? "", /^verified \{"events":(\d+)\} \1$/)
          yield* Effect.gen(function* () {
            const { append, verify } = yield* Journal
            yield* append([])
            assert.isUndefined((yield* verify).firstBad)
          }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
        }
      }),
    60_000
  )

  it.scopedLive(
    "T-266 whichever sync fails as the journal is made: StoreUnavailable, and the next start makes it whole",
    () =>
      Effect.gen(function* () {
        const { data, file, writer } = yield* workshop
        let failed = 0
        for (let nth = 1; nth <= 12; nth++) {
          execFileSync("find", [data, "-mindepth", "1", "-delete"])
          const fault = ["-e", "trace=fsync,fdatasync", "-e", `inject=fsync,fdatasync:error=EIO:when=${nth}`]
          const strace = ["strace", "-f", "-qq", "-o", "/dev/null", ...fault]
          const [line = ""] = fill([...strace, process.execPath, writer, file, "open"])
          if (line !== "opened") {
            assert.include(line, "ended StoreUnavailable")
            failed++
          }
          yield* Effect.gen(function* () {
            assert.isUndefined((yield* (yield* Journal).verify).firstBad)
          }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
        }
        assert.isAbove(failed, 3)
      }),
    120_000
  )
})
