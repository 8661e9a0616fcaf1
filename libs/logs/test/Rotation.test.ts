import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { LogStore } from "../src/index.ts"
import { bytesOf, directory, id, isGap, isLine, out, readAll, segments, storeOn, temporary, text } from "./Store.ts"

const limits = { segmentBytes: 65_536, capBytes: 262_144 }

const size = (home: string) =>
  segments(home).reduce((sum, name) => sum + fs.statSync(path.join(directory(home), name)).size, 0)

/** Lines of 100 bytes with their number, 50 to a batch. */
const lines = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `${String(from + i).padStart(99, ".")}\n`).join("")

const flood = (first: number, count: number) =>
  Effect.gen(function* () {
    const writer = yield* (yield* LogStore).open(id)
    for (let at = first; at < first + count; at += 50) yield* writer.append([out(lines(at, 50))])
  }).pipe(Effect.scoped)

describe("a log's cap", () => {
  it.scoped("T-288 the cap is kept, the newest stays, and a gap says what went", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        yield* flood(1, 20_000)
        assert.isAtMost(size(home), limits.capBytes)
        assert.isAbove(size(home), limits.capBytes - 2 * limits.segmentBytes)
        const [gap, ...rest] = yield* readAll()
        if (gap === undefined || !isGap(gap)) return assert.fail("no gap at the beginning")
        assert.isEmpty(rest.filter(isGap))
        const first = Number(text(rest[0] ?? gap).replaceAll(".", ""))
        assert.deepStrictEqual(
          [gap.fromSeq, gap.toSeq, gap.lostEntries, gap.lostBytes, gap.reason],
          [1, first - 1, first - 1, (first - 1) * 100, "dropped"]
        )
        assert.strictEqual(rest.length, 20_000 - first + 1)
        assert.strictEqual(bytesOf(rest).toString(), lines(first, rest.length))
        const [resumed] = yield* readAll({ after: 100 })
        assert.deepInclude(resumed, { _tag: "Gap", fromSeq: 101, toSeq: first - 1, lostEntries: first - 101 })
        assert.isEmpty((yield* readAll({ tail: 100 })).filter(isGap))
      }).pipe(Effect.provide(storeOn(home, limits)))
    })
  )

  it.scoped("a line that began in a dropped segment is whole in the next one", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        const stderr = (bytes: string) => ({ source: "primary", stream: "stderr", bytes: Buffer.from(bytes) }) as const
        yield* writer.append([stderr("begun long ago,")])
        for (let at = 1; at < 10_000; at += 50) yield* writer.append([out(lines(at, 50))])
        yield* writer.append([stderr(" ended now\n")])
        assert.strictEqual(text((yield* readAll({ tail: 1 })).at(-1) ?? assert.fail()), "begun long ago, ended now")
        assert.strictEqual(text((yield* readAll()).at(-1) ?? assert.fail()), "begun long ago, ended now")
      }).pipe(Effect.scoped, Effect.provide(storeOn(home, limits)))
    })
  )

  it.scoped("T-299 S-169 after a restart old lines are read, and numbers and order go on", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.provide(flood(1, 1000), storeOn(home, limits))
      yield* Effect.provide(flood(1001, 1000), storeOn(home, limits))
      const entries = yield* Effect.provide(readAll(), storeOn(home, limits))
      assert.strictEqual(bytesOf(entries).toString(), lines(1, 2000))
      assert.deepStrictEqual(
        entries.map((entry) => isLine(entry) && entry.seq),
        entries.map((_, index) => index + 1)
      )
    })
  )

  it.scoped("a batch that is larger than a segment is stored whole", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out(lines(1, 5000))])
        yield* writer.append([out(lines(5001, 50))])
        assert.strictEqual(bytesOf(yield* readAll()).toString(), lines(1, 5050))
      }).pipe(Effect.scoped, Effect.provide(storeOn(home, { ...limits, capBytes: 2 ** 20 })))
    })
  )
})

describe("what happens to a log's files", () => {
  const disturb = (what: string, act: (file: string) => void) =>
    it.scoped(
      `T-293 the file is ${what} under its writer: a gap, no block, no crash, and nothing written elsewhere`,
      () =>
        Effect.gen(function* () {
          const home = yield* temporary
          yield* Effect.gen(function* () {
            const writer = yield* (yield* LogStore).open(id)
            yield* writer.append([out("before\n")])
            const aside = path.join(home, "aside")
            fs.writeFileSync(aside, "not ours")
            act(path.join(directory(home), segments(home)[0] ?? ""))
            yield* TestClock.adjust("2 seconds")
            yield* writer.append([out("after\n")])
            const entries = yield* readAll()
            assert.strictEqual(text(entries.at(-1) ?? assert.fail()), "after")
            assert.strictEqual(entries.filter(isLine).at(-1)?.seq, 2)
            const gap = entries.find(isGap)
            if (!entries.map(text).includes("before")) assert.deepInclude(gap, { fromSeq: 1, toSeq: 1, lostBytes: 7 })
            assert.strictEqual(fs.readFileSync(aside, "utf8"), "not ours")
          }).pipe(Effect.scoped, Effect.provide(storeOn(home, limits)))
          const again = yield* Effect.provide(readAll(), storeOn(home, limits))
          assert.strictEqual(text(again.at(-1) ?? assert.fail()), "after")
        })
    )

  disturb("deleted", (file) => fs.rmSync(file))
  disturb("truncated", (file) => fs.truncateSync(file, 0))
  disturb("cut short", (file) => fs.truncateSync(file, fs.statSync(file).size - 3))
  disturb("made read-only", (file) => fs.chmodSync(file, 0o400))
  disturb("replaced by a symlink", (file) => {
    fs.rmSync(file)
    fs.symlinkSync(path.join(file, "../../../../aside"), file)
  })
  disturb("replaced by a FIFO", (file) => {
    fs.rmSync(file)
    execFileSync("mkfifo", [file])
  })
  disturb("gone with its directory (T-276)", (file) => fs.rmSync(path.dirname(path.dirname(file)), { recursive: true }))

  it.scoped("T-292 a segment whose beginning never was written is passed over, and its number not used again", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.provide(flood(1, 100), storeOn(home, limits))
      fs.writeFileSync(path.join(directory(home), "00000002.log"), "AEGIS")
      yield* Effect.provide(flood(101, 100), storeOn(home, limits))
      assert.deepStrictEqual(segments(home), ["00000001.log", "00000002.log", "00000003.log"])
      const entries = yield* Effect.provide(readAll(), storeOn(home, limits))
      assert.strictEqual(bytesOf(entries).toString(), lines(1, 200))
      assert.isEmpty(entries.filter(isGap))
    })
  )

  it.scoped(
    "T-290 whatever byte a file is cut at, what is whole before it is read, and writing goes on without a gap",
    () =>
      Effect.gen(function* () {
        const home = yield* temporary
        yield* Effect.gen(function* () {
          const writer = yield* (yield* LogStore).open(id)
          for (const [index, line] of ["one\n", "tw", "o\n", "three\n"].entries()) {
            yield* writer.append([out(line, BigInt(index + 1))])
          }
        }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
        const file = path.join(directory(home), segments(home)[0] ?? "")
        const whole = fs.readFileSync(file)
        let most = 0
        for (let at = 64; at <= whole.length; at++) {
          fs.writeFileSync(file, whole.subarray(0, at))
          const before = (yield* Effect.provide(readAll(), storeOn(home))).map(text)
          assert.isTrue("one two three".startsWith(before.join(" ")), before.join(" "))
          assert.isAtLeast(before.length, most)
          most = Math.max(most, before.length - (before.at(-1) === "tw" ? 1 : 0))
          assert.strictEqual(fs.statSync(file).size, at, "reading changes nothing")
          const after = yield* Effect.gen(function* () {
            const writer = yield* (yield* LogStore).open(id)
            yield* writer.append([out("\nnew\n")])
            return yield* readAll()
          }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
          assert.isEmpty(after.filter(isGap))
          assert.strictEqual(text(after.at(-1) ?? assert.fail()), "new")
          assert.deepStrictEqual(after.slice(0, before.length).map(text), before)
          assert.strictEqual(segments(home).length, 1)
        }
        assert.strictEqual(most, 3)
      })
  )

  it.scoped("T-291 whatever byte in the middle is wrong, the rest is read, and a gap counts what is missing", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        for (let n = 1; n <= 9; n++) yield* writer.append([out(`line ${n}\n`)])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
      const file = path.join(directory(home), segments(home)[0] ?? "")
      const whole = fs.readFileSync(file)
      const record = (whole.length - 64) / 9
      assert.isTrue(Number.isInteger(record))
      for (let at = 64 + 3 * record; at < 64 + 5 * record; at++) {
        const bytes = Buffer.from(whole)
        bytes.writeUInt8((bytes[at] ?? 0) ^ 0x5a, at)
        fs.writeFileSync(file, bytes)
        const entries = yield* Effect.provide(readAll(), storeOn(home))
        const bad = at < 64 + 4 * record ? 4 : 5
        assert.deepStrictEqual(
          entries.map((entry) => (isLine(entry) ? entry.seq : -entry.lostEntries)),
          [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => (n === bad ? -1 : n))
        )
        assert.deepInclude(entries.find(isGap), { fromSeq: bad, toSeq: bad, lostBytes: 7, reason: "damaged" })
      }
    })
  )

  it.scoped("T-291 random damage never ends a reader or a writer, and no number comes twice", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.provide(flood(1, 2000), storeOn(home, { segmentBytes: 65_536 }))
      const files = segments(home).map((name) => path.join(directory(home), name))
      const wholes = files.map((file) => fs.readFileSync(file))
      let seed = 12_345
      const random = (below: number) => {
        seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
        return seed % below
      }
      for (let round = 0; round < 40; round++) {
        for (const [index, whole] of wholes.entries()) {
          const bytes = Buffer.from(whole)
          for (let n = random(4); n > 0; n--) bytes[random(bytes.length)] = random(256)
          const from = random(bytes.length)
          bytes.fill(random(256), from, Math.min(bytes.length, from + random(3000)))
          whole.copy(bytes, random(bytes.length), 0, random(5000))
          fs.writeFileSync(files[index] ?? "", bytes)
        }
        const entries = yield* Effect.gen(function* () {
          const writer = yield* (yield* LogStore).open(id)
          yield* writer.append([out("alive\n")])
          return yield* readAll()
        }).pipe(Effect.scoped, Effect.provide(storeOn(home, { segmentBytes: 65_536 })))
        assert.strictEqual(text(entries.at(-1) ?? assert.fail()), "alive")
        const numbers = entries.filter(isLine).map(({ seq }) => seq)
        assert.deepStrictEqual(
          numbers,
          [...new Set(numbers)].sort((a, b) => a - b)
        )
        for (const name of segments(home).slice(files.length)) fs.rmSync(path.join(directory(home), name))
      }
    })
  )

  it.scoped("output cannot forge a record behind a damaged place", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out("first\n")])
        // The guest's best try: a record as another log has it, in its own output.
        const record = fs.readFileSync(path.join(directory(home), segments(home)[0] ?? "")).subarray(64)
        record.writeUInt32LE((record.readUInt32LE(0) + 1) % 2 ** 32, 0)
        yield* writer.append([out(Buffer.concat([record, Buffer.from("\n")]))])
        yield* writer.append([out("last\n")])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
      const file = path.join(directory(home), segments(home)[0] ?? "")
      const bytes = fs.readFileSync(file)
      bytes.fill(0, 64 + 50, 64 + 50 + 44)
      fs.writeFileSync(file, bytes)
      const entries = yield* Effect.provide(readAll(), storeOn(home))
      assert.deepStrictEqual(entries.map(text), ["first", "(gap)", "last"])
    })
  )
})
