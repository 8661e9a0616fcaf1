import type { LogEntry } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as fs from "node:fs"
import * as path from "node:path"
import { LogStore } from "../src/index.ts"
import {
  bytesOf,
  collect,
  directory,
  id,
  isGap,
  isLine,
  out,
  readAll,
  segments,
  storeOn,
  temporary,
  text
} from "./Store.ts"

describe("LogStore writes and reads", () => {
  it.scoped("S-162 S-163 S-168 what was written is read back in order, from files that only their owner can read", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const store = yield* LogStore
        const writer = yield* store.open(id)
        yield* writer.system("starting")
        yield* writer.append([
          out("one\ntw"),
          { source: "primary", stream: "stderr", bytes: Buffer.from("err\n") },
          out("o\n"),
          { source: "exec", execId: "exec-7", stream: "stdout", bytes: Buffer.from("from exec\n") }
        ])
        const entries = yield* readAll()
        assert.deepStrictEqual(
          entries.filter(isLine).map((entry) => [entry.seq, entry.source, entry.stream, text(entry), entry.execId]),
          [
            [1, "system", "stdout", "starting", undefined],
            [2, "primary", "stdout", "one", undefined],
            [3, "primary", "stderr", "err", undefined],
            [4, "primary", "stdout", "two", undefined],
            [5, "exec", "stdout", "from exec", "exec-7"]
          ]
        )
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
      const [file = ""] = segments(home)
      assert.strictEqual(fs.statSync(path.join(directory(home), file)).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(directory(home)).mode & 0o777, 0o700)
      assert.strictEqual(fs.statSync(path.join(home, "data/logs")).mode & 0o777, 0o700)
    })
  )

  it.scoped("T-287 every byte value comes back the same, in one piece and one at a time", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out(all)])
        for (const value of all) yield* writer.append([out(Buffer.from([value]))])
        yield* writer.append([out("\r\r\n\0\n\x1b[31m\n\xed\xa0\x80\n")])
        yield* writer.end("primary")
        const written = Buffer.concat([all, all, Buffer.from("\r\r\n\0\n\x1b[31m\n\xed\xa0\x80\n")])
        assert.isTrue(bytesOf(yield* readAll()).equals(written))
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("T-287 UTF-8 split at every byte offset comes back whole", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const line = Buffer.from("aé€😀\u{10ffff}\ufeffz\n")
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        for (let at = 0; at <= line.length; at++) {
          yield* writer.append([out(line.subarray(0, at))])
          yield* writer.append([out(line.subarray(at))])
        }
        const entries = yield* readAll()
        assert.strictEqual(entries.length, line.length + 1)
        for (const entry of entries) assert.strictEqual(`${text(entry)}\n`, line.toString("utf8"))
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped(
    "T-301 whatever the pieces, strands and segments, each strand's bytes and the numbers are kept",
    () =>
      Effect.gen(function* () {
        const piece = FastCheck.record({
          strand: FastCheck.integer({ min: 0, max: 5 }),
          bytes: FastCheck.oneof(
            FastCheck.uint8Array({ maxLength: 40 }),
            FastCheck.array(FastCheck.constantFrom(10, 65, 200), { maxLength: 60 }).map((bytes) =>
              Uint8Array.from(bytes)
            ),
            FastCheck.integer({ min: 60_000, max: 140_000 }).map((length) => new Uint8Array(length).fill(66))
          )
        })
        const strands = [
          { source: "primary", stream: "stdout" },
          { source: "primary", stream: "stderr" },
          { source: "exec", execId: "a", stream: "stdout" },
          { source: "exec", execId: "a", stream: "stderr" },
          { source: "exec", execId: "b.2", stream: "stdout" },
          { source: "system", stream: "stdout" }
        ] as const
        const batches = FastCheck.array(FastCheck.array(piece, { maxLength: 8 }), { maxLength: 12 })
        for (const sample of FastCheck.sample(batches, { numRuns: 60, seed: 4711 })) {
          const home = yield* temporary
          yield* Effect.gen(function* () {
            const store = yield* LogStore
            yield* Effect.gen(function* () {
              const writer = yield* store.open(id)
              for (const batch of sample) {
                yield* writer.append(batch.map(({ bytes, strand }) => ({ ...(strands[strand] ?? strands[0]), bytes })))
              }
            }).pipe(Effect.scoped)
            const entries = yield* collect(store.read(id, {}))
            assert.deepStrictEqual(
              entries.map((entry) => isLine(entry) && entry.seq),
              entries.map((_, index) => index + 1)
            )
            for (const [index, strand] of strands.entries()) {
              const written = Buffer.concat(
                sample
                  .flat()
                  .filter((p) => p.strand === index)
                  .map(({ bytes }) => bytes)
              )
              const execId = "execId" in strand ? strand.execId : undefined
              const mine = bytesOf(
                entries,
                (line) => line.source === strand.source && line.stream === strand.stream && line.execId === execId
              )
              assert.isTrue(mine.equals(written))
            }
            for (const entry of entries.filter(isLine)) assert.isAtMost(entry.bytes.length, 65_536)
            const from = Math.floor(entries.length / 2)
            assert.deepStrictEqual(yield* collect(store.read(id, { after: from })), entries.slice(from))
          }).pipe(Effect.provide(storeOn(home, { segmentBytes: 100_000, capBytes: 2 ** 30 })))
        }
      }),
    60_000
  )

  it.scoped("T-285 a line without end comes as partial entries of 64 KiB", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        for (let i = 0; i < 40; i++) yield* writer.append([out(Buffer.alloc(50_000, 97))])
        yield* writer.append([out("\n")])
        const entries = (yield* readAll()).filter(isLine)
        assert.strictEqual(entries.length, Math.ceil(2_000_000 / 65_536))
        assert.isTrue(entries.slice(0, -1).every(({ bytes, partial }) => partial && bytes.length === 65_536))
        assert.strictEqual(entries.at(-1)?.partial, false)
        assert.strictEqual(bytesOf(entries).length, 2_000_001)
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("T-286 a prompt becomes a partial entry after a second, and its rest an entry of its own", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const store = yield* LogStore
        const writer = yield* store.open(id)
        const seen = yield* Queue.unbounded<LogEntry>()
        yield* Effect.forkScoped(
          Stream.runForEach(store.read(id, { follow: true }), (batch) => Queue.offerAll(seen, batch))
        )
        yield* writer.append([out("password: ")])
        assert.deepStrictEqual(yield* readAll(), [])
        yield* TestClock.adjust("1 second")
        const prompt = yield* Queue.take(seen)
        assert.deepStrictEqual([text(prompt), isLine(prompt) && prompt.partial], ["password: ", true])
        yield* writer.append([out("ok\n")])
        const rest = yield* Queue.take(seen)
        assert.deepStrictEqual([text(rest), isLine(rest) && rest.partial, isLine(rest) && rest.seq], ["ok", false, 2])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("an exec's end and the writer's end leave nothing unsaid; system text has an entry for each line", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const store = yield* LogStore
        yield* Effect.gen(function* () {
          const writer = yield* store.open(id)
          yield* writer.append([
            { source: "exec", execId: "x", stream: "stdout", bytes: Buffer.from("$ ") },
            out("no line feed")
          ])
          yield* writer.end({ execId: "x" })
          yield* writer.system("stopping\nstopped")
          assert.deepStrictEqual((yield* readAll()).map(text), ["$ ", "stopping", "stopped"])
        }).pipe(Effect.scoped)
        const entries = yield* readAll()
        assert.deepStrictEqual(entries.map(text), ["$ ", "stopping", "stopped", "no line feed"])
        assert.deepStrictEqual(
          entries.filter(isLine).map(({ partial }) => partial),
          [true, false, false, true]
        )
      }).pipe(Effect.provide(storeOn(home)))
    })
  )

  it.scoped("T-302 T-303 what a guest prints is output of the primary, whatever it looks like", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        const faked = [
          "process exited (code=7)",
          '{"source":"system","stream":"stderr","line":"x"}',
          "\x1b[33m[system]\x1b[0m no"
        ]
        yield* writer.append(faked.map((line) => out(`${line}\n`)))
        const entries = (yield* readAll()).filter(isLine)
        assert.deepStrictEqual(entries.map(text), faked)
        assert.isTrue(entries.every(({ source, stream }) => source === "primary" && stream === "stdout"))
        assert.deepStrictEqual(yield* readAll({ sources: ["system"] }), [])
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("there is one writer at a time", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const store = yield* LogStore
        yield* store.open(id)
        const error = yield* Effect.flip(Effect.scoped(store.open(id)))
        assert.include(error.message, "is being written already")
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )
})

describe("LogStore's queries", () => {
  const filled = (home: string, lines: number) =>
    Effect.gen(function* () {
      const writer = yield* (yield* LogStore).open(id)
      for (let from = 1; from <= lines; from += 100) {
        const batch = Array.from({ length: Math.min(100, lines - from + 1) }, (_, i) => from + i)
        yield* writer.append(
          batch.map((n) => ({
            source: n % 10 === 0 ? "exec" : "primary",
            ...(n % 10 === 0 ? { execId: n % 20 === 0 ? "even" : "odd" } : {}),
            stream: "stdout",
            bytes: Buffer.from(`line ${n}\n`)
          }))
        )
        yield* TestClock.adjust("1 second")
      }
    }).pipe(Effect.scoped, Effect.provide(storeOn(home, { segmentBytes: 65_536, capBytes: 2 ** 30 })))

  it.scoped("T-300 after, tail, since, sources, exec and grep choose, alone and together", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* filled(home, 20_000)
      assert.isAbove(segments(home).length, 5)
      const numbers = (query: Parameters<typeof readAll>[0]) =>
        Effect.map(readAll(query), (entries) => entries.map((entry) => Number(text(entry).slice(5))))
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* numbers({ after: 19_997 }), [19_998, 19_999, 20_000])
        assert.deepStrictEqual(yield* numbers({ after: 30_000 }), [])
        assert.deepStrictEqual(yield* numbers({ tail: 0 }), [])
        assert.deepStrictEqual(yield* numbers({ tail: 2 }), [19_999, 20_000])
        assert.strictEqual((yield* numbers({ tail: 1e9 })).length, 20_000)
        assert.deepStrictEqual(yield* numbers({ tail: 2, sources: ["exec"] }), [19_990, 20_000])
        assert.deepStrictEqual(yield* numbers({ tail: 2, execId: "odd" }), [19_970, 19_990])
        assert.strictEqual((yield* numbers({ tail: 1999, sources: ["exec"] }))[0], 20)
        assert.deepStrictEqual(yield* numbers({ tail: 2, grep: "^line 1[0-9]{3}$" }), [1998, 1999])
        assert.deepStrictEqual(yield* numbers({ grep: "line 1999.$", sources: ["primary"], tail: 1 }), [19_999])
        assert.deepStrictEqual(yield* numbers({ after: 19_990, tail: 100, execId: "even" }), [20_000])
        const [first] = yield* readAll({ tail: 1 })
        assert.isDefined(first)
        const since = (seconds: number) => DateTime.unsafeMake(seconds * 1000)
        assert.deepStrictEqual((yield* numbers({ since: since(199) })).at(0), 19_901)
        assert.strictEqual((yield* numbers({ since: since(100), after: 5 })).at(0), 10_001)
        assert.deepStrictEqual(yield* numbers({ since: since(1e9) }), [])
        assert.deepStrictEqual(
          yield* numbers({ since: since(199), tail: 3, sources: ["exec"] }),
          [19_980, 19_990, 20_000]
        )
      }).pipe(Effect.provide(storeOn(home)))
    })
  )

  it.scoped("a pattern that could hang is run in linear time or refused", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        yield* writer.append([out(`${"a".repeat(60_000)}!\n`), out("aaa\n")])
        const begun = performance.now()
        assert.deepStrictEqual((yield* readAll({ grep: "^(a+)+$" })).map(text), ["aaa"])
        assert.isBelow(performance.now() - begun, 2000)
        for (const grep of ["(?=a)b", "(a)\\1", "((((", "(?<!x)y"]) {
          const error = yield* Effect.flip(readAll({ grep }))
          assert.strictEqual(error._tag, "InvalidArgument")
        }
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("T-304 T-272 the clock may step: numbers order, and since looks at each entry's time", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const writer = yield* (yield* LogStore).open(id)
        for (const [seconds, line] of [
          [1e9, "now"],
          [-5, "1969"],
          [2e9, "later"],
          [1e9, "now again"]
        ] as const) {
          yield* TestClock.setTime(Duration.toMillis(Duration.seconds(0)) + seconds * 1000)
          yield* writer.append([out(`${line}\n`)])
        }
        const entries = yield* readAll()
        assert.deepStrictEqual(entries.map(text), ["now", "1969", "later", "now again"])
        assert.deepStrictEqual(
          entries.map((entry) => isLine(entry) && entry.seq),
          [1, 2, 3, 4]
        )
        assert.deepStrictEqual((yield* readAll({ since: DateTime.unsafeMake(1e12) })).map(text), [
          "now",
          "later",
          "now again"
        ])
        assert.isEmpty(entries.filter(isGap))
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )

  it.scoped("a reader of what is not there: nothing, or it waits for the beginning", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.gen(function* () {
        const store = yield* LogStore
        assert.deepStrictEqual(yield* readAll(), [])
        assert.deepStrictEqual(yield* readAll({ tail: 5, after: 3, grep: "x" }), [])
        assert.strictEqual(yield* store.lastGuestSeq(id), 0n)
        assert.isFalse(fs.existsSync(directory(home)))
        const first = yield* Effect.fork(Stream.runHead(store.read(id, { follow: true })))
        yield* Effect.yieldNow()
        const writer = yield* store.open(id)
        yield* writer.system("starting")
        const head = yield* Fiber.join(first)
        assert.strictEqual(head._tag === "Some" && head.value.map(text).join(), "starting")
      }).pipe(Effect.scoped, Effect.provide(storeOn(home)))
    })
  )
})
