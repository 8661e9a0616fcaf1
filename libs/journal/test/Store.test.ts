import { ByDaemon, DaemonStarted } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { InstanceRecords, Journal, journalAt, Store } from "../src/index.ts"
import * as Migrations from "../src/Migrations.ts"
import { cli, created, databaseFile, directory, id } from "./sample.ts"

const hello = (pid: number) => ({
  cause: new ByDaemon({ because: "a test" }),
  data: new DaemonStarted({ version: "0", pid })
})

const append = (count: number) =>
  Effect.flatMap(Journal, (journal) => journal.append(Array.from({ length: count }, (_, index) => hello(index))))

const run = <A, E>(file: string, effect: Effect.Effect<A, E, InstanceRecords | Journal | Scope.Scope>) =>
  Effect.scoped(Effect.provide(effect, journalAt({ file })))

/** What opening it fails with. */
const refusal = (file: string) => Effect.flip(run(file, Effect.void))

const digest = (file: string) => createHash("sha256").update(fs.readFileSync(file)).digest("hex")

/** A database with some events, closed in order. */
const filled = Effect.tap(databaseFile, (file) => run(file, append(400)))

const mode = (file: string) => fs.statSync(file).mode & 0o777

describe("Store", () => {
  it.scopedLive("T-253 T-E12 it is made whole, for its user alone, with WAL and a sync for every commit", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      const pragmas = Effect.gen(function* () {
        const { read, sql } = yield* Store
        const one = (name: string) =>
          Effect.map(
            read(sql.unsafe<Record<string, unknown>>(`PRAGMA ${name}`)),
            ([row]) => Object.values(row ?? {})[0]
          )
        return yield* Effect.all(
          ["journal_mode", "synchronous", "foreign_keys", "trusted_schema", "user_version"].map(one)
        )
      })
      const found = yield* Effect.provide(
        Effect.tap(pragmas, () =>
          Effect.sync(() => {
            assert.strictEqual(mode(path.dirname(file)), 0o700)
            for (const ending of ["", "-wal", "-shm"]) assert.strictEqual(mode(file + ending), 0o600)
          })
        ),
        Store.layer({ file })
      )
      assert.deepStrictEqual(found, ["wal", 2, 1, 0, Migrations.newest(Migrations.current)])
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), ["journal.db", "journal.db-reserve"])
    })
  )

  it.scopedLive("T-251 what a killed creation has left is removed; a living one's is not", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      fs.mkdirSync(path.dirname(file), { mode: 0o700 })
      const dead = execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }).trim()
      fs.writeFileSync(`${file}.new-${dead}-00000000`, "half")
      fs.writeFileSync(`${file}.new-${process.pid}-00000000`, "")
      yield* run(file, append(1))
      assert.sameMembers(fs.readdirSync(path.dirname(file)), [
        "journal.db",
        "journal.db-reserve",
        `journal.db.new-${process.pid}-00000000`
      ])
    })
  )

  it.scopedLive("T-E12 a symbolic link, a directory, a file others may write, another's: refused with a remedy", () =>
    Effect.gen(function* () {
      const file = yield* filled
      fs.chmodSync(file, 0o660)
      const writable = yield* refusal(file)
      assert.strictEqual(writable._tag, "StoreUnavailable")
      assert.include(writable.message, "written by others")
      assert.include(writable.remedy, "chmod 600")
      fs.chmodSync(file, 0o644)
      yield* run(file, append(1))
      assert.strictEqual(mode(file), 0o600)
      fs.renameSync(file, `${file}.moved`)
      fs.symlinkSync(`${file}.moved`, file)
      assert.include((yield* refusal(file)).message, "symbolic link")
      fs.rmSync(file)
      fs.mkdirSync(file)
      assert.include((yield* refusal(file)).message, "not a regular file")
      fs.rmdirSync(file)
      fs.renameSync(`${file}.moved`, file)
      fs.symlinkSync("/etc/passwd", `${file}-wal`)
      assert.include((yield* refusal(file)).message, "symbolic link")
      fs.rmSync(`${file}-wal`)
      if (process.getuid?.() === 0) {
        fs.chownSync(file, 12345, 12345)
        assert.include((yield* refusal(file)).message, "belongs to user 12345")
      }
    })
  )

  it.scopedLive(
    "T-254 garbage, an empty file, a cut one, flipped bytes, another program's: StoreCorrupt, and not a byte changed",
    () =>
      Effect.gen(function* () {
        const file = yield* filled
        const whole = fs.readFileSync(file)
        const damaged = (name: string, bytes: Uint8Array) =>
          Effect.gen(function* () {
            fs.writeFileSync(file, bytes)
            const before = digest(file)
            const error = yield* refusal(file)
            assert.strictEqual(error._tag, "StoreCorrupt", name)
            assert.include(error.message, file)
            assert.include(error.remedy, "copy")
            assert.strictEqual(digest(file), before, name)
            return error.message
          })
        assert.include(yield* damaged("empty", new Uint8Array()), "is empty")
        assert.include(yield* damaged("garbage", Buffer.alloc(9000, 0x41)), "is not an SQLite database")
        assert.include(yield* damaged("cut", whole.subarray(0, whole.length - 4096 * 3)), "")
        assert.include(yield* damaged("header only", whole.subarray(0, 100)), "")
        const flipped = Buffer.from(whole)
        flipped.fill(0xff, 4096 * 5, 4096 * 6)
        assert.include(yield* damaged("flipped", flipped), "")
        const foreign = new Sqlite(`${file}.foreign`)
        foreign.exec("CREATE TABLE notes (text)")
        foreign.close()
        assert.include(yield* damaged("foreign", fs.readFileSync(`${file}.foreign`)), "not a journal of AegisVM")
        fs.writeFileSync(file, whole)
        yield* run(file, append(1))
      })
  )

  it.scopedLive(
    "T-254 a log that was damaged is refused; one that was cut gives the state before, with its chain whole",
    () =>
      Effect.gen(function* () {
        const file = yield* filled
        const copy = path.join(path.dirname(file), "copies", "journal.db")
        fs.mkdirSync(path.dirname(copy), { mode: 0o700 })
        yield* run(
          file,
          Effect.gen(function* () {
            for (let n = 0; n < 20; n++) yield* append(1)
            for (const ending of ["", "-wal"]) fs.copyFileSync(file + ending, copy + ending)
          })
        )
        const log = fs.readFileSync(`${copy}-wal`)
        const reopened = run(
          copy,
          Effect.flatMap(Journal, ({ verify }) => verify)
        )
        fs.writeFileSync(`${copy}-wal`, Buffer.concat([Buffer.from("garbage!"), log.subarray(8)]))
        const before = digest(`${copy}-wal`)
        const error = yield* Effect.flip(reopened)
        assert.strictEqual(error._tag, "StoreCorrupt")
        assert.include(error.message, "write-ahead log is damaged")
        assert.strictEqual(digest(`${copy}-wal`), before)
        const database = fs.readFileSync(copy)
        for (const length of [0, 20, 32, 5000, Math.floor(log.length / 2), log.length - 1, log.length]) {
          fs.writeFileSync(copy, database)
          fs.writeFileSync(`${copy}-wal`, log.subarray(0, length))
          const { events, firstBad } = yield* reopened
          assert.isUndefined(firstBad)
          assert.isTrue(length === log.length ? events === 420 : events >= 400 && events < 420)
        }
      })
  )

  it.scopedLive("T-276 a database that is taken away is never begun anew over what it held", () =>
    Effect.gen(function* () {
      const file = yield* filled
      yield* run(
        file,
        Effect.gen(function* () {
          yield* append(1)
          fs.renameSync(file, `${file}.away`)
          const gone = yield* Effect.flip(append(1))
          assert.strictEqual(gone._tag, "StoreUnavailable")
          assert.include(gone.message, "removed or replaced")
          assert.include((yield* refusal(file)).message, "write-ahead log is still there")
          assert.isFalse(fs.existsSync(file))
          fs.renameSync(`${file}.away`, file)
          yield* append(1)
        })
      )
      assert.deepStrictEqual(
        yield* run(
          file,
          Effect.flatMap(Journal, ({ verify }) => verify)
        ),
        { events: 402 }
      )
    })
  )

  it.scopedLive("T-250 a newer schema is refused and untouched; an older one is copied, then migrated", () =>
    Effect.gen(function* () {
      const file = yield* filled
      const next = Migrations.newest(Migrations.current) + 1
      const backup = `${file}.schema-${next - 1}`
      const then = (text: string): Migrations.Migrations => ({
        ...Migrations.current,
        [`${next}_more`]: Effect.flatMap(SqlClient.SqlClient, (sql) =>
          Effect.zipRight(sql`CREATE TABLE more (a TEXT) STRICT`, sql.unsafe(text))
        ).pipe(Effect.asVoid)
      })
      const opened = (migrations: Migrations.Migrations) =>
        Effect.scoped(Effect.provide(Store, Store.layer({ file, migrations })))
      const failed = yield* Effect.flip(opened(then("CREATE TABLE events (b)")))
      assert.include(failed.message, "already exists")
      yield* run(file, append(1))
      yield* opened(then("SELECT 1"))
      assert.isTrue(fs.existsSync(backup))
      assert.strictEqual(mode(backup), 0o600)
      const before = digest(file)
      const error = yield* refusal(file)
      assert.strictEqual(error._tag, "SchemaTooNew")
      assert.include(error.message, `schema ${next}`)
      assert.strictEqual(digest(file), before)
      fs.renameSync(backup, file)
      assert.deepStrictEqual(
        yield* run(
          file,
          Effect.flatMap(Journal, ({ verify }) => verify)
        ),
        { events: 401 }
      )
    })
  )

  it.scoped(
    "T-255 while another process writes, an append waits without blocking, then says StoreBusy, then works again",
    () =>
      Effect.gen(function* () {
        const file = yield* filled
        yield* run(
          file,
          Effect.gen(function* () {
            const other = yield* Effect.acquireRelease(
              Effect.sync(() => new Sqlite(file)),
              (db) => Effect.sync(() => db.close())
            )
            other.exec("BEGIN IMMEDIATE")
            const refused = yield* Effect.fork(Effect.flip(append(1)))
            yield* TestClock.adjust("4 seconds")
            assert.isTrue((yield* Fiber.poll(refused))._tag === "None")
            yield* TestClock.adjust("2 seconds")
            assert.strictEqual((yield* Fiber.join(refused))._tag, "StoreBusy")
            assert.strictEqual(yield* Stream.runCount((yield* Journal).events()), 400)
            const waits = yield* Effect.fork(append(1))
            yield* TestClock.adjust("1 seconds")
            other.exec("COMMIT")
            yield* TestClock.adjust("1 seconds")
            const [event] = yield* Fiber.join(waits)
            assert.strictEqual(event?.seq, 401)
          })
        )
      })
  )

  it.scopedLive("T-256 several openers and writers at once, the first of them making it: one chain, nothing lost", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      const opener = run(
        file,
        Effect.replicateEffect(
          Effect.flatMap(InstanceRecords, ({ nextId }) =>
            Effect.zipRight(Effect.yieldNow(), Effect.zip(nextId, append(1)))
          ),
          20
        )
      )
      yield* Effect.all([opener, opener, opener, opener], { concurrency: "unbounded" })
      assert.deepStrictEqual(
        yield* run(
          file,
          Effect.flatMap(Journal, ({ verify }) => verify)
        ),
        { events: 80 }
      )
    })
  )

  it.scopedLive("an interrupted append is written whole or not at all, and never holds the journal", () =>
    Effect.gen(function* () {
      const file = yield* filled
      const count = yield* run(
        file,
        Effect.gen(function* () {
          yield* Effect.forEach(
            Array.from({ length: 40 }),
            () =>
              Effect.flatMap(Effect.fork(append(3)), (fiber) =>
                Effect.zipRight(Effect.yieldNow(), Fiber.interrupt(fiber))
              ),
            { concurrency: 4 }
          )
          const { insert } = yield* InstanceRecords
          yield* insert(id(1), cli, created("after"))
          return yield* (yield* Journal).lastSeq
        })
      )
      assert.strictEqual((count - 401) % 3, 0)
      assert.deepStrictEqual(
        yield* run(
          file,
          Effect.flatMap(Journal, ({ verify }) => verify)
        ),
        { events: count }
      )
    })
  )

  it.scopedLive("the directory may be anywhere, and odd names are no trouble", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "a b'c?%23", "journal ü.db")
      yield* run(file, append(2))
      assert.deepStrictEqual(
        yield* run(
          file,
          Effect.flatMap(Journal, ({ verify }) => verify)
        ),
        { events: 2 }
      )
    })
  )
})
