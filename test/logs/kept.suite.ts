/** What is kept of a log: through floods, followers, a daemon's death and damage. Each row goes on where the one before has left the guest. */
import { Aegis } from "@aegis/client"
import type { LogEntry } from "@aegis/domain"
import { assert } from "chai"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { gaps, type LogBox, type LogRows, numbers, primary, seqOf, textOf, until } from "./Box.ts"

export const keptRows: LogRows = {
  "T-295 T-296 T-297 a reader that stands still learns what it missed; many have each line once while the log is rotated, and the daemon answers":
    (box) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const follow = aegis.logs("box", { follow: true, tail: 1 })
        const still = yield* Stream.toPull(follow)
        yield* still
        let following = 0
        const followers = yield* Effect.replicateEffect(
          Effect.forkScoped(
            Stream.tap(Stream.chunks(follow), () => Effect.sync(() => following++)).pipe(
              Stream.flattenChunks,
              Stream.takeUntil(isLast(box)),
              Stream.runCollect,
              Effect.map(Chunk.toReadonlyArray)
            )
          ),
          box.followers
        )
        yield* until(
          "they follow",
          Effect.sync(() => following),
          (count) => count === box.followers
        )
        yield* box.touch("flood")
        yield* until(
          "all is said, and the daemon answers",
          Effect.zipRight(aegis.status, box.there("flooded")),
          Boolean
        )
        const followed = yield* Fiber.join(Fiber.all(followers))
        for (const each of followed) {
          assert.deepStrictEqual(gaps(each), [])
          assert.deepStrictEqual(numbers(each), upTo(box.lines))
          assert.deepStrictEqual(
            each.map(seqOf),
            each.map((_, at) => seqOf(each[0]) + at)
          )
        }
        assert.isAbove(fs.readdirSync(box.folder).length, 1)
        const late = yield* Stream.repeatEffectChunkOption(still).pipe(
          Stream.takeUntil(isLast(box)),
          Stream.runCollect,
          Effect.map(Chunk.toReadonlyArray)
        )
        const missing = gaps(late).reduce((sum, { lostEntries }) => sum + lostEntries, 0)
        assert.isAbove(missing, 0)
        assert.isAtLeast(primary(late).length + missing, box.lines)
      }),

  "T-288 the cap is kept: the newest is there, and a gap says how much went": (box) =>
    Effect.gen(function* () {
      const cap = box.capMib * 1024 ** 2
      const held = fs
        .readdirSync(box.folder)
        .reduce((sum, name) => sum + fs.statSync(path.join(box.folder, name)).size, 0)
      assert.isAbove(held, (cap * 3) / 4)
      assert.isAtMost(held, cap)
      const now = yield* box.log()
      assert.deepInclude(now[0], { _tag: "Gap", reason: "dropped", toSeq: seqOf(now[1]) - 1 })
      assert.strictEqual(numbers(now).at(-1), box.lines - 1)
    }),

  "T-292 a daemon killed three times while it writes and rotates loses no line and repeats none": (box) =>
    Effect.gen(function* () {
      yield* box.touch("again")
      for (let round = 0; round < 3; round++) {
        yield* Effect.sleep("500 millis")
        yield* box.kill
        yield* box.up
      }
      yield* until("the end of it", box.there("ended"), Boolean)
      const count = box.lines / 4
      const isThere = (entries: ReadonlyArray<LogEntry>) => numbers(entries).at(-1) === count - 1
      yield* until("its last line", box.log({ tail: 20 }), isThere)
      const now = yield* box.log({ sources: ["primary"] })
      assert.deepStrictEqual(numbers(now).slice(-count), upTo(count))
      const seqs = now.slice(1).map(seqOf)
      assert.deepStrictEqual(
        seqs,
        [...new Set(seqs)].sort((a, b) => a - b)
      )
    }),

  "T-299 after a restart old lines are there, in their order": (box) =>
    Effect.gen(function* () {
      const kept = numbers(yield* box.log({ sources: ["primary"] }))
      const [first = 0] = kept
      assert.isAbove(first, 0)
      assert.deepStrictEqual(
        kept.slice(0, 100),
        Array.from({ length: 100 }, (_, at) => first + at)
      )
    }),

  "T-290 a torn last entry is cut, and what comes is behind it": (box) =>
    Effect.gen(function* () {
      yield* box.say("said 0")
      yield* box.kill
      const file = newest(box)
      fs.appendFileSync(file, fs.readFileSync(file).subarray(-51, -21))
      yield* box.up
      yield* box.say("said 1")
      assert.strictEqual((yield* box.saidLately("said 0")).length, 1)
      assert.deepStrictEqual(gaps(yield* box.log({ tail: 20 })), [])
    }),

  "T-291 a damaged entry is left out, and told": (box) =>
    Effect.gen(function* () {
      yield* box.kill
      const file = box.segments().findLast((name) => fs.statSync(name).size > 20_000) ?? ""
      const bytes = fs.readFileSync(file)
      bytes.fill("\0garbage\n", bytes.length - 6000, bytes.length - 5820)
      fs.writeFileSync(file, bytes)
      yield* box.up
      yield* box.say("said 2")
      assert.deepStrictEqual(
        gaps(yield* box.log()).map(({ reason }) => reason),
        ["dropped", "damaged"]
      )
    }),

  "T-293 a log's file removed, or replaced by a pipe, under the daemon: what comes is logged": (box) =>
    Effect.gen(function* () {
      // The daemon looks after its files once a second: what it wrote in between went with the file.
      fs.rmSync(newest(box))
      yield* Effect.sleep("3 seconds")
      yield* box.say("said 3")
      const file = newest(box)
      fs.rmSync(file)
      execFileSync("mkfifo", [file])
      yield* Effect.sleep("3 seconds")
      yield* box.say("said 4")
    }),

  "T-304 a clock that steps back by ten years: numbers keep the order": (box) =>
    Effect.gen(function* () {
      const [before] = yield* box.saidLately("said 4")
      yield* box.kill
      yield* box.upTenYearsAgo
      yield* box.say("said 5")
      const [after] = yield* box.saidLately("said 5")
      assert.isAbove(seqOf(after), seqOf(before))
      assert.isBelow(Number(after?.time.pipe(DateTime.toEpochMillis)), Date.now() - 9 * 365 * 86_400_000)
      const seqs = (yield* box.log({ tail: 20 })).map(seqOf)
      assert.deepStrictEqual(
        seqs,
        seqs.toSorted((a, b) => a - b)
      )
    }),

  "T-298 a log that is deleted while it is followed ends for its followers, and is gone": (box) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const follow = aegis.logs("box", { follow: true, tail: 1 })
      const begun = yield* Effect.makeLatch()
      const follower = yield* Effect.forkScoped(Stream.runForEach(follow, () => begun.open))
      yield* Effect.raceFirst(begun.await, Fiber.join(follower))
      yield* aegis.remove("box")
      yield* Fiber.join(follower)
      assert.isFalse(fs.existsSync(box.folder))
    })
}

const isLast = (box: LogBox) => (entry: LogEntry) =>
  textOf(entry).startsWith(`${String(box.lines - 1).padStart(8, "0")}.`)

const newest = (box: LogBox) => box.segments().at(-1) ?? ""

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)
