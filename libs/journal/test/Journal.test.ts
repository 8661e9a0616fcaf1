import {
  ByDaemon,
  ByGuest,
  DaemonStarted,
  Exited,
  InstancePaused,
  InstanceResumed,
  StartRequested
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import Sqlite from "better-sqlite3"
import { Journal, journalAt, journalInMemory } from "../src/index.ts"
import { cli, created, databaseFile, ended, id, started } from "./sample.ts"

const daemon = new ByDaemon({ because: "a test" })
const hello = (pid: number) => ({ cause: daemon, data: new DaemonStarted({ version: "0", pid }) })
const numbers = <E, R>(stream: Stream.Stream<{ readonly seq: number }, E, R>) =>
  Effect.map(Stream.runCollect(stream), (events) => Chunk.toReadonlyArray(events).map(({ seq }) => seq))
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

describe("Journal", () => {
  it.scoped("an event comes back as it was written, numbered from 1, tied to the one before", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* TestClock.setTime(1_700_000_000_123)
      const entries = [
        { instanceId: id(1), cause: cli, data: created("web", { TOKEN: "s3cret\u0000".slice(0, 6) }) },
        { instanceId: id(1), cause: daemon, data: started },
        { instanceId: id(1), cause: new ByGuest(), data: ended(new Exited({ code: 3 })) }
      ]
      const written = yield* journal.append(entries)
      const read = Chunk.toReadonlyArray(yield* Stream.runCollect(journal.events()))
      assert.deepStrictEqual(read, [...written])
      assert.deepStrictEqual(
        read.map(({ cause, data, instanceId }) => ({ cause, data, instanceId })),
        entries.map(({ cause, data, instanceId }) => ({ cause, data, instanceId }))
      )
      assert.deepStrictEqual(
        read.map(({ seq }) => seq),
        [1, 2, 3]
      )
      assert.strictEqual(read[0]?.previousHash, "0".repeat(64))
      assert.strictEqual(read[1]?.previousHash, read[0]?.hash)
      assert.strictEqual(DateTime.toEpochMillis(read[2]?.at ?? DateTime.unsafeMake(0)), 1_700_000_000_123)
      assert.deepStrictEqual(yield* journal.verify, { events: 3 })
      assert.deepStrictEqual(yield* journal.append([]), [])
      assert.strictEqual(yield* journal.lastSeq, 3)
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped("events are filtered by instance, number, time and count, over more than one page", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      for (let n = 1; n <= 450; n++) {
        yield* TestClock.setTime(n * 1000)
        yield* journal.append([{ instanceId: id(n % 3), cause: cli, data: new StartRequested() }])
      }
      assert.deepStrictEqual(yield* numbers(journal.events()), upTo(450))
      assert.deepStrictEqual(yield* numbers(journal.events({ after: 100, limit: 250 })), upTo(350).slice(100))
      assert.deepStrictEqual(yield* numbers(journal.events({ limit: 0 })), [])
      assert.deepStrictEqual(
        yield* numbers(journal.events({ instanceId: id(0) })),
        upTo(450).filter((n) => n % 3 === 0)
      )
      const since = DateTime.unsafeMake(448_000)
      assert.deepStrictEqual(yield* numbers(journal.events({ since })), [448, 449, 450])
      assert.deepStrictEqual(yield* numbers(journal.events({ since: DateTime.unsafeMake(500_000) })), [])
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped("T-272 a clock that jumps back and forth changes neither order, chain nor a subscriber's view", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const tenYears = Duration.toMillis(Duration.days(3652))
      for (const now of [tenYears, 2 * tenYears, 0, tenYears + 1, 5]) {
        yield* TestClock.setTime(now)
        yield* journal.append([hello(now)])
      }
      assert.deepStrictEqual(yield* numbers(journal.events()), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* numbers(Stream.take(journal.subscribe(), 5)), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* numbers(journal.events({ since: DateTime.unsafeMake(tenYears) })), [1, 2, 4])
      assert.deepStrictEqual(yield* journal.verify, { events: 5 })
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scopedLive("subscribers see every event once and in order while others append, from wherever they begin", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const total = 600
      const seen = (after: number) => Stream.take(journal.subscribe({ after }), total - after)
      const early = yield* Effect.fork(numbers(seen(0)))
      const ofOne = yield* Effect.fork(numbers(Stream.take(journal.subscribe({ instanceId: id(1) }), total / 6)))
      // It takes one and stops reading: nobody waits for it.
      yield* Effect.forkScoped(Stream.runForEach(journal.subscribe(), () => Effect.never))
      const writer = (worker: number) =>
        Effect.forEach(upTo(total / 6), (n) =>
          Effect.zipRight(
            Effect.yieldNow(),
            journal.append([
              { instanceId: id(worker), cause: cli, data: n % 2 === 0 ? new InstancePaused() : new InstanceResumed() },
              hello(n)
            ])
          )
        )
      const writers = yield* Effect.fork(Effect.forEach([1, 2, 3], writer, { concurrency: "unbounded" }))
      const late = yield* Effect.fork(numbers(seen(250)))
      yield* Fiber.join(writers)
      assert.deepStrictEqual(yield* Fiber.join(early), upTo(total))
      assert.deepStrictEqual(yield* Fiber.join(late), upTo(total).slice(250))
      assert.lengthOf(yield* Fiber.join(ofOne), 100)
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped("a projection that fails leaves no event, and the journal goes on", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const refused = yield* Effect.flip(journal.append([hello(1)], () => Effect.fail("refused" as const)))
      assert.strictEqual(refused, "refused")
      const wrong = yield* Effect.flip(journal.append([hello(1)], (_, sql) => sql`INSERT INTO nowhere VALUES (1)`))
      assert.strictEqual(wrong._tag, "StoreUnavailable")
      const died = yield* Effect.exit(journal.append([hello(1)], () => Effect.die("a bug")))
      assert.strictEqual(died._tag, "Failure")
      assert.strictEqual(yield* journal.lastSeq, 0)
      const [first] = yield* journal.append([hello(2)])
      assert.strictEqual(first?.seq, 1)
      assert.deepStrictEqual(yield* journal.verify, { events: 1 })
    }).pipe(Effect.provide(journalInMemory))
  )

  const tampered = (statement: string) =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.append(upTo(1200).map(hello))
      }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
      const db = new Sqlite(file)
      assert.throws(() => db.exec("UPDATE events SET at = 1 WHERE seq = 2"), /append-only/)
      assert.throws(() => db.exec("DELETE FROM events WHERE seq = 1200"), /append-only/)
      db.exec("DROP TRIGGER events_are_kept; DROP TRIGGER events_stay_as_they_are")
      db.exec(statement)
      db.close()
      return yield* Effect.flatMap(Journal, ({ verify }) => verify).pipe(
        Effect.provide(journalAt({ file })),
        Effect.scoped
      )
    })

  it.scopedLive("one byte of a row is changed: verify names the row, and only it", () =>
    Effect.gen(function* () {
      const verdict = yield* tampered(
        `UPDATE events SET data = replace(data, '"pid":777', '"pid":778') WHERE seq = 777`
      )
      assert.deepStrictEqual(verdict, { events: 776, firstBad: { seq: 777, reason: "its content was changed" } })
    })
  )

  it.scopedLive("a removed row, a cut end, an exchanged last row, a row of nonsense: verify names each", () =>
    Effect.gen(function* () {
      const first = (statement: string) => Effect.map(tampered(statement), ({ firstBad }) => firstBad?.seq)
      assert.strictEqual(yield* first("DELETE FROM events WHERE seq = 600"), 600)
      assert.strictEqual(yield* first("DELETE FROM events WHERE seq > 1100"), 1101)
      assert.strictEqual(yield* first("UPDATE events SET hash = 'x' WHERE seq = 3"), 3)
      assert.strictEqual(yield* first("UPDATE head SET hash = (SELECT hash FROM events WHERE seq = 4)"), 1200)
      assert.strictEqual(yield* first("UPDATE events SET seq = -5 WHERE seq = 1"), 1)
    })
  )

  it.scopedLive("T-254 an event that this version cannot read is served as such, with all others", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      const run = <A, E>(effect: Effect.Effect<A, E, Journal>) =>
        Effect.scoped(Effect.provide(effect, journalAt({ file })))
      yield* run(Effect.flatMap(Journal, (journal) => journal.append([hello(1), hello(2), hello(3)])))
      const db = new Sqlite(file)
      db.exec("DROP TRIGGER events_stay_as_they_are")
      db.exec(`UPDATE events SET data = '{"_tag":"FromTheFuture"}', cause = 'no json' WHERE seq = 2`)
      db.close()
      const events = yield* run(Effect.flatMap(Journal, (journal) => Stream.runCollect(journal.events())))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(events).map(({ cause, data }) => `${cause._tag} ${data._tag}`),
        ["Daemon DaemonStarted", "Unknown Unreadable", "Daemon DaemonStarted"]
      )
    })
  )
})
