import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { LogStore } from "../src/index.ts"
import { bytesOf, directory, id, isGap, isLine, out, readAll, segments, storeOn, temporary, text } from "./Store.ts"

/** `LogChild.ts` as one file that plain Node runs. */
const bundled = Effect.flatMap(temporary, (folder) =>
  Effect.promise(async () => {
    const outfile = path.join(folder, "child.mjs")
    await build({
      entryPoints: [path.join(import.meta.dirname, "LogChild.ts")],
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      outfile,
      logLevel: "silent"
    })
    return outfile
  })
)

/** Runs until it has said `after` numbers, then kills it; gives the last number that it said. */
const killed = (program: string, home: string, after: number) =>
  Effect.async<bigint>((resume) => {
    const child = spawn(process.execPath, [program, "append", home], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (piece: Buffer) => {
      said += piece.toString("latin1")
      if (said.split("\n").length > after) child.kill("SIGKILL")
    })
    child.once("close", (_, signal) => {
      assert.strictEqual(signal, "SIGKILL")
      resume(Effect.succeed(BigInt(said.split("\n").at(-2) ?? "0")))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("a daemon that is killed", () => {
  it.scoped(
    "kill -9 in 30 rounds of writing takes away nothing that was acknowledged, and nothing comes twice (P3, T-290)",
    () =>
      Effect.gen(function* () {
        const program = yield* bundled
        const home = yield* temporary
        let entries = 0
        for (let round = 0; round < 30; round++) {
          const said = yield* killed(program, home, 1 + ((round * 37) % 200))
          const [cursor, read] = yield* Effect.flatMap(LogStore, (store) =>
            Effect.all([store.lastGuestSeq(id), readAll()])
          ).pipe(Effect.provide(storeOn(home)))
          assert.isTrue(cursor >= said, `stored ${cursor}, acknowledged ${said}`)
          assert.isEmpty(read.filter(isGap))
          const lines = bytesOf(read).toString("latin1").split("\n").slice(0, -1)
          assert.strictEqual(BigInt(lines.length), cursor)
          for (const [index, line] of lines.entries()) {
            const seq = BigInt(index + 1)
            assert.strictEqual(line.length, String(seq).length + 1 + Number((seq * 7919n) % 3000n))
            assert.isTrue(line.startsWith(`${seq} `))
          }
          assert.isAbove(read.length, entries)
          entries = read.length
        }
      }),
    120_000
  )

  it.scoped(
    "the guest's cursor is stored with its frames, passes over what came before, and starts anew with a guest",
    () =>
      Effect.gen(function* () {
        const home = yield* temporary
        const cursor = Effect.flatMap(LogStore, (store) => store.lastGuestSeq(id))
        yield* Effect.gen(function* () {
          const writer = yield* (yield* LogStore).open(id)
          yield* writer.append([out("a\n", 1n), out("b\n", 2n)])
          yield* writer.append([out("b\n", 2n), out("c\n", 3n), out("c\n", 3n)])
          yield* writer.append([out("", 4n)])
          assert.strictEqual(yield* cursor, 4n)
        }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
        assert.strictEqual(yield* Effect.provide(cursor, storeOn(home)), 4n)
        yield* Effect.gen(function* () {
          const writer = yield* (yield* LogStore).open(id)
          yield* writer.append([out("d\n", 4n)])
          yield* writer.guestBooted
          assert.strictEqual(yield* cursor, 0n)
          yield* writer.append([out("again\n", 1n), out(Buffer.alloc(200_000, 97), 2n)])
        }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
        assert.strictEqual(yield* Effect.provide(cursor, storeOn(home)), 2n)
        const entries = yield* Effect.provide(readAll(), storeOn(home))
        assert.deepStrictEqual(entries.slice(0, 4).map(text), ["a", "b", "c", "again"])
        assert.strictEqual(bytesOf(entries.slice(4)).length, 200_000)
      })
  )

  it.scoped("an unfinished line of a killed daemon is shown to readers, and goes on when its guest does", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out("whole\nhal", 1n)])
        // As it is on disk the instant the daemon dies.
        fs.cpSync(directory(home), path.join(home, "killed"), { recursive: true })
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
      fs.rmSync(directory(home), { recursive: true })
      fs.renameSync(path.join(home, "killed"), directory(home))
      const at = yield* Effect.provide(readAll(), storeOn(home))
      assert.deepStrictEqual(
        at.filter(isLine).map((line) => [text(line), line.partial]),
        [
          ["whole", false],
          ["hal", true]
        ]
      )
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out("f\n", 2n)])
        assert.deepStrictEqual((yield* readAll()).map(text), ["whole", "half"])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("a restart with nothing to write leaves the files as they are", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const visit = Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
      yield* Effect.flatMap(LogStore, (store) => store.open(id)).pipe(
        Effect.flatMap((writer) => writer.append([out("one\n")])),
        Effect.scoped,
        Effect.provide(storeOn(home))
      )
      const before = segments(home).map((name) => fs.readFileSync(path.join(directory(home), name)))
      yield* visit
      yield* visit
      assert.deepStrictEqual(
        segments(home).map((name) => fs.readFileSync(path.join(directory(home), name))),
        before
      )
    })
  )
})

/** Whether this machine lets us have a file system of our own to fill. */
const canFill = (() => {
  try {
    execFileSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

describe("a disk that is full", () => {
  it.scoped.skipIf(!canFill)(
    "T-294 T-265 is said as DiskFull, spoils nothing, and what was given up is counted when there is room again",
    () =>
      Effect.gen(function* () {
        const program = yield* bundled
        const home = yield* temporary
        const script = `mount -t tmpfs -o size=8m,mode=700 none "$1" && head -c 2M /dev/zero > "$1/ballast" && exec "$2" "$3" full "$1"`
        const said = execFileSync("unshare", ["-rm", "sh", "-c", script, "sh", home, process.execPath, program], {
          encoding: "utf8"
        })
        assert.deepStrictEqual(JSON.parse(said), {
          tags: ["DiskFull", "DiskFull"],
          whole: true,
          gap: [{ lostBytes: 30_004, lostEntries: 4, reason: "discarded" }],
          lines: 1,
          last: "after\n",
          followers: 1
        })
      }),
    60_000
  )
})
