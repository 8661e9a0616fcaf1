import {
  ByIdleTimer,
  ByRouter,
  Exited,
  InstanceAdopted,
  InstanceDeleted,
  InstanceId,
  InstancePaused,
  NotFound,
  InstancePruned,
  Exposure,
  InstanceResumed,
  Keepalive,
  KeepaliveEnded,
  KeepaliveGiven,
  PortBinding,
  PortExposed,
  PortsAssigned,
  PortUnexposed,
  StartRequested,
  StateConflict,
  StopRequested,
  Stopped,
  WakeUpsSuspended
} from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Exit from "effect/Exit"
import * as fc from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import {
  type InstanceChange,
  type InstanceRecord,
  InstanceRecords,
  Journal,
  journalAt,
  journalInMemory,
  recordAfter
} from "../src/index.ts"
import { cli, created, databaseFile, ended, id, started } from "./sample.ts"

const changes: ReadonlyArray<InstanceChange> = [
  new StartRequested(),
  started,
  new InstancePaused(),
  new InstanceResumed(),
  new StopRequested({ graceSeconds: 10 }),
  ended(new Stopped()),
  ended(new Exited({ code: 7 })),
  new PortsAssigned({ ports: [new PortBinding({ guest: 80, host: 49152, protocol: "http" })] }),
  new InstanceAdopted({ vm: started.vm, paused: true }),
  new WakeUpsSuspended({ ends: 5, withinSeconds: 120 }),
  new KeepaliveGiven({ keepalive: new Keepalive({ until: DateTime.unsafeMake(9_000_000), reason: "a build" }) }),
  new KeepaliveEnded(),
  new PortExposed({ exposure: new Exposure({ port: 81, protocol: "tcp" }), host: 49153 }),
  new PortUnexposed({ port: 80 })
]

const command = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("insert" as const), who: fc.nat(3), handle: fc.nat(2) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      who: fc.nat(3),
      what: fc.array(fc.nat(changes.length - 1), { maxLength: 3 })
    })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), who: fc.nat(3), pruned: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("time" as const), now: fc.nat(4_000_000) }) }
)

type Command = typeof command extends fc.Arbitrary<infer A> ? A : never

const obey = (one: Command) =>
  Effect.gen(function* () {
    const records = yield* InstanceRecords
    switch (one.kind) {
      case "insert":
        return yield* records.insert(id(one.who), cli, created(one.handle === 0 ? undefined : `h${one.handle}`))
      case "update":
        return yield* records.update(
          id(one.who),
          new ByRouter({ port: 80 }),
          one.what.flatMap((index) => changes[index] ?? [])
        )
      case "remove": {
        const data = one.pruned ? new InstancePruned({ stoppedForSeconds: 5 }) : new InstanceDeleted()
        return yield* records.remove(id(one.who), cli, data)
      }
      case "time":
        return yield* TestClock.setTime(one.now)
    }
  })

const folded = Effect.gen(function* () {
  const journal = yield* Journal
  const byId = new Map<string, InstanceRecord>()
  yield* Stream.runForEach(journal.events(), (event) =>
    Effect.sync(() => {
      const key = event.instanceId ?? ""
      const after = recordAfter(Option.fromNullable(byId.get(key)), event)
      byId.delete(key)
      if (Option.isSome(after)) byId.set(key, after.value)
    })
  )
  return [...byId.values()].sort((a, b) => a.id.localeCompare(b.id))
})

describe("InstanceRecords", () => {
  it("the table is at every moment what a fold over the events gives", async () => {
    const holds = (commands: ReadonlyArray<Command>) =>
      Effect.gen(function* () {
        yield* TestClock.setTime(1_000_000)
        const records = yield* InstanceRecords
        for (const one of commands) {
          // Two of one handle, an id twice, one that is gone: refused, and then nothing may have changed.
          yield* Effect.exit(obey(one))
          const listed = [...(yield* records.list())].sort((a, b) => a.id.localeCompare(b.id))
          assert.deepStrictEqual(listed, yield* folded)
        }
        const handles = (yield* records.list()).flatMap(({ handle }) => handle ?? [])
        assert.strictEqual(new Set(handles).size, handles.length)
        assert.isUndefined((yield* (yield* Journal).verify).firstBad)
      }).pipe(Effect.provide(journalInMemory), Effect.provide(TestContext.TestContext))
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 14 }), (commands) => Effect.runPromise(holds(commands))),
      { numRuns: 25 }
    )
  })

  it.scoped("D-06 D-16 a handle belongs to one record, in whatever state; it is free when that is removed", () =>
    Effect.gen(function* () {
      const records = yield* InstanceRecords
      yield* records.insert(id(1), cli, created("web"))
      yield* records.update(id(1), cli, [started, ended(new Stopped())])
      const taken = yield* Effect.flip(records.insert(id(2), cli, created("Web")))
      assert.strictEqual(taken._tag, "HandleTaken")
      assert.strictEqual(taken.message, 'instance "web" is stopped')
      assert.strictEqual((yield* Effect.flip(records.get(id(2))))._tag, "NotFound")
      yield* records.insert(id(3), cli, created())
      yield* records.insert(id(4), cli, created())
      yield* records.remove(id(1), cli, new InstanceDeleted())
      assert.strictEqual((yield* records.insert(id(2), cli, created("web"))).handle, "web")
      assert.strictEqual((yield* records.get("WEB")).id, id(2))
      assert.lengthOf(yield* records.list(), 3)
      const many = yield* Effect.forEach(
        [5, 6, 7, 8, 9],
        (number) => Effect.exit(records.insert(id(number), cli, created("one"))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(many.filter(Exit.isSuccess), 1)
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped("a change is decided in its transaction: of two at once the second sees the first, and may refuse", () =>
    Effect.gen(function* () {
      const records = yield* InstanceRecords
      yield* records.insert(id(1), cli, created("web"))
      yield* records.update(id(1), cli, [started])
      const pause = records.update(id(1), cli, (record) =>
        record.state === "running"
          ? Effect.succeed([new InstancePaused()])
          : Effect.fail(new StateConflict({ target: "web", state: record.state, remedy: "" }))
      )
      const exits = yield* Effect.all([Effect.exit(pause), Effect.exit(pause)], { concurrency: 2 })
      assert.lengthOf(exits.filter(Exit.isSuccess), 1)
      const before = yield* (yield* Journal).lastSeq
      assert.strictEqual((yield* records.update(id(1), cli, [])).state, "paused")
      assert.strictEqual(yield* (yield* Journal).lastSeq, before)
      assert.strictEqual((yield* Effect.flip(records.update(id(9), cli, [])))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(records.remove(id(9), cli, new InstanceDeleted())))._tag, "NotFound")
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped(
    "S-201 who asks while a change is decided waits, and learns what was decided; also where it is not written",
    () =>
      Effect.gen(function* () {
        const records = yield* InstanceRecords
        yield* records.insert(id(1), cli, created("web"))
        yield* records.update(id(1), cli, [started])
        assert.strictEqual((yield* records.get(id(1))).state, "running")
        const decided = yield* Deferred.make<void>()
        const change = yield* Effect.fork(
          records.update(id(1), cli, () => Effect.as(Deferred.await(decided), [new InstancePaused()]))
        )
        const asked = yield* Effect.forEach([id(1), "web"], (target) => Effect.fork(records.get(target)))
        yield* Effect.yieldNow()
        yield* Deferred.succeed(decided, undefined)
        assert.strictEqual((yield* Fiber.join(change)).state, "paused")
        for (const one of asked) assert.strictEqual((yield* Fiber.join(one)).state, "paused")
        assert.strictEqual((yield* records.get(id(1))).state, "paused")
        const refused = records.update(id(1), cli, () => Effect.fail(new NotFound({ target: "nothing" })))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(refused)))
        assert.strictEqual((yield* records.get(id(1))).state, "paused")
        yield* records.touch(id(1))
        yield* records.keepCursor(id(1), 7)
        yield* records.update(id(1), cli, [ended(new Stopped())])
        assert.strictEqual((yield* records.get(id(1))).state, "stopped")
        yield* records.remove(id(1), cli, new InstanceDeleted())
        assert.strictEqual((yield* Effect.flip(records.get(id(1))))._tag, "NotFound")
      }).pipe(Effect.provide(journalInMemory))
  )

  it.scopedLive(
    "S-082 S-131 a record is whole after a restart of the daemon: spec, ports, VM, cursor, times, reason",
    () =>
      Effect.gen(function* () {
        const file = yield* databaseFile
        const run = <A, E>(effect: Effect.Effect<A, E, InstanceRecords | Journal>) =>
          Effect.scoped(Effect.provide(effect, journalAt({ file })))
        const before = yield* run(
          Effect.gen(function* () {
            const records = yield* InstanceRecords
            yield* records.insert(id(1), cli, created("web", { TOKEN: "s3cret" }))
            const ports = changes.filter(({ _tag }) => _tag === "PortsAssigned" || _tag === "KeepaliveGiven")
            yield* records.update(id(1), cli, [started, ...ports])
            yield* records.keepCursor(id(1), 42)
            yield* records.touch(id(1))
            yield* records.insert(id(2), cli, created())
            yield* records.update(id(2), cli, [started, ended(new Exited({ code: 3 }))])
            yield* records.keepCursor(id(2), 42)
            return yield* records.list()
          })
        )
        const after = yield* run(Effect.flatMap(InstanceRecords, ({ list }) => list()))
        assert.deepStrictEqual(after, before)
        assert.deepStrictEqual(after[0]?.spec.env, { TOKEN: "s3cret" })
        assert.strictEqual(after[0]?.cursor, 42)
        assert.deepStrictEqual(after[0]?.vm, started.vm)
        assert.deepStrictEqual(after[0]?.ports[0]?.host, 49152)
        assert.strictEqual(after[0]?.keepalive?.reason, "a build")
        assert.isAtLeast(after[0]?.lastActiveAt.epochMillis ?? 0, after[0]?.startedAt?.epochMillis ?? Infinity)
        assert.strictEqual(after[1]?.cursor, undefined)
        assert.deepStrictEqual(after[1]?.ended, new Exited({ code: 3 }))
      })
  )

  it.scopedLive("D-08 who paused it is known after a restart, also of one that an older version has paused", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      const run = <A, E>(effect: Effect.Effect<A, E, InstanceRecords | Journal>) =>
        Effect.scoped(Effect.provide(effect, journalAt({ file })))
      const idle = new ByIdleTimer({ idleSeconds: 60 })
      const pausers = yield* run(
        Effect.gen(function* () {
          const { insert, list, update } = yield* InstanceRecords
          for (const number of [1, 2, 3, 4]) {
            yield* insert(id(number), cli, created())
            yield* update(id(number), cli, [started])
          }
          yield* update(id(1), idle, [new InstancePaused()])
          yield* update(id(2), idle, [new InstancePaused()])
          yield* update(id(2), cli, [new InstanceResumed(), new InstancePaused()])
          yield* update(id(3), idle, [new InstancePaused(), new InstanceResumed()])
          yield* update(id(4), idle, [new InstancePaused(), ended(new Stopped())])
          yield* update(id(1), cli, [new InstanceAdopted({ vm: started.vm, paused: true })])
          return Effect.map(list(), (records) => records.map(({ pausedBy }) => pausedBy))
        }).pipe(Effect.flatten)
      )
      const now = Effect.flatMap(InstanceRecords, ({ list }) =>
        Effect.map(list(), (records) => records.map(({ pausedBy }) => pausedBy))
      )
      assert.deepStrictEqual(pausers, [idle, cli, undefined, undefined])
      assert.deepStrictEqual(yield* run(now), pausers)
      const db = new Sqlite(file)
      for (const column of ["paused_by", "keepalive"]) db.exec(`ALTER TABLE instances DROP COLUMN ${column}`)
      db.exec("DELETE FROM migrations WHERE migration_id > 1")
      db.pragma("user_version = 1")
      db.close()
      assert.deepStrictEqual(yield* run(now), pausers)
    })
  )

  it.scoped("S-098 S-138 a list is by state, by the time of the stop, and cut", () =>
    Effect.gen(function* () {
      const records = yield* InstanceRecords
      for (const number of [1, 2, 3, 4]) {
        yield* TestClock.setTime(number * 1000)
        yield* records.insert(id(number), cli, created())
        if (number > 1) yield* records.update(id(number), cli, [started])
        if (number > 2) yield* records.update(id(number), new ByIdleTimer({ idleSeconds: 60 }), [ended(new Stopped())])
      }
      const ids = (filter: Parameters<typeof records.list>[0]) =>
        Effect.map(records.list(filter), (found) => found.map((record) => record.id))
      assert.deepStrictEqual(yield* ids({}), [id(1), id(2), id(3), id(4)])
      assert.deepStrictEqual(yield* ids({ states: ["starting", "running", "paused"] }), [id(1), id(2)])
      assert.deepStrictEqual(yield* ids({ states: [] }), [])
      assert.deepStrictEqual(yield* ids({ states: ["stopped"], limit: 1 }), [id(3)])
      assert.deepStrictEqual(yield* ids({ stoppedBefore: DateTime.unsafeMake(4000) }), [id(3)])
    }).pipe(Effect.provide(journalInMemory))
  )

  it.scoped("D-20 ids grow within and across daemon runs, whatever the clock does, also after a deletion", () =>
    Effect.gen(function* () {
      const file = yield* databaseFile
      const given: Array<InstanceId> = []
      for (const now of [5_000_000, 0, 1000, 9_000_000, 3]) {
        yield* TestClock.setTime(now)
        yield* Effect.gen(function* () {
          const records = yield* InstanceRecords
          for (const _ of [1, 2, 3]) {
            const next = yield* records.nextId
            given.push(next)
            yield* records.insert(next, cli, created())
          }
          yield* records.remove(given.at(-1) ?? id(0), cli, new InstanceDeleted())
        }).pipe(Effect.provide(journalAt({ file })), Effect.scoped)
      }
      const numbers = given.map((one) => BigInt(one.slice(5)))
      assert.isTrue(numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? number)))
      assert.lengthOf(numbers, 15)
    })
  )

  it.scopedLive(
    "P4 values of an environment are in no event, survive a repair, and are in no file once their record is gone",
    () =>
      Effect.gen(function* () {
        const file = yield* databaseFile
        const run = <A, E>(effect: Effect.Effect<A, E, InstanceRecords | Journal>) =>
          Effect.scoped(Effect.provide(effect, journalAt({ file })))
        const holders = () =>
          readdirSync(path.dirname(file)).filter((name) =>
            readFileSync(path.join(path.dirname(file), name)).includes("planted")
          )
        const env = { TOKEN: "planted-1", LONG: `planted-${"x".repeat(20_000)}` }
        yield* run(
          Effect.gen(function* () {
            const { get, insert, remove, update } = yield* InstanceRecords
            for (const number of [1, 2, 3]) yield* insert(id(number), cli, created(`h${number}`, env))
            for (let round = 0; round < 5; round++)
              yield* update(id(1), cli, [started, ended(new Exited({ code: round }))])
            assert.deepStrictEqual((yield* get("h1")).spec.env, env)
            const events = yield* Stream.runCollect((yield* Journal).events())
            assert.notInclude(JSON.stringify([...events]), "planted")
            assert.include(JSON.stringify([...events]), '"TOKEN":""')
            yield* remove(id(1), cli, new InstanceDeleted())
          })
        )
        const db = new Sqlite(file)
        db.exec(`UPDATE instances SET state = 'dancing' WHERE id = '${id(2)}'`)
        db.exec(`UPDATE instances SET spec = '{"command":' WHERE id = '${id(3)}'`)
        db.close()
        yield* run(
          Effect.gen(function* () {
            const { get, list, remove, repair } = yield* InstanceRecords
            // Of the third the values are lost: it is not started with empty ones.
            const { records, unreadable } = yield* repair
            assert.deepStrictEqual(unreadable, [id(3)])
            assert.deepStrictEqual(records, yield* list())
            assert.deepStrictEqual((yield* get("h2")).spec.env, env)
            assert.isAbove(holders().length, 0)
            for (const number of [2, 3]) yield* remove(id(number), cli, new InstanceDeleted())
            assert.deepStrictEqual(holders(), [])
            assert.isUndefined((yield* (yield* Journal).verify).firstBad)
          })
        )
        assert.deepStrictEqual(holders(), [])
      })
  )

  it.scopedLive(
    "T-254 a record that cannot be read is left out, named, repaired from its events, and can be removed",
    () =>
      Effect.gen(function* () {
        const file = yield* databaseFile
        const run = <A, E>(effect: Effect.Effect<A, E, InstanceRecords | Journal>) =>
          Effect.scoped(Effect.provide(effect, journalAt({ file })))
        const records = yield* run(
          Effect.gen(function* () {
            const { insert, list, update } = yield* InstanceRecords
            for (const number of [1, 2, 3, 4]) yield* insert(id(number), cli, created(`h${number}`))
            yield* update(id(2), cli, [started, ended(new Exited({ code: 3 }))])
            return yield* list()
          })
        )
        const db = new Sqlite(file)
        db.exec(`UPDATE instances SET state = 'dancing' WHERE id = '${id(2)}'`)
        db.exec(`UPDATE instances SET spec = '{"command":' WHERE id = '${id(3)}'`)
        db.exec(`UPDATE instances SET ports = '[7]' WHERE id = '${id(4)}'`)
        db.close()
        yield* run(
          Effect.gen(function* () {
            const { get, list, remove, repair } = yield* InstanceRecords
            assert.deepStrictEqual(yield* list(), records.slice(0, 1))
            const unreadable = yield* Effect.flip(get("h3"))
            assert.strictEqual(unreadable._tag, "StoreCorrupt")
            assert.include(unreadable.message, id(3))
            yield* remove(id(4), cli, new InstanceDeleted())
            for (const _ of ["once", "and again"]) {
              assert.deepStrictEqual(yield* repair, { records: records.slice(0, 3), unreadable: [] })
              assert.deepStrictEqual(yield* list(), records.slice(0, 3))
            }
            const events = yield* Stream.runCollect((yield* Journal).events({ instanceId: id(4) }))
            assert.strictEqual(Chunk.size(events), 2)
          })
        )
      })
  )

  it.scopedLive(
    "T-279 10 000 stopped records change what a list of the live ones, a look-up and a start take by less than 2 ×",
    () =>
      Effect.gen(function* () {
        const columns =
          "state, created_at, started_at, stopped_at, last_active_at, wake_ups_suspended, ports, ended, spec"
        const prepared = (stopped: number) =>
          Effect.gen(function* () {
            const file = yield* databaseFile
            const records = Context.get(yield* Layer.build(journalAt({ file })), InstanceRecords)
            yield* records.insert(id(1), cli, created("live"))
            yield* records.update(id(1), cli, [started])
            yield* records.insert(id(2), cli, created("ended"))
            yield* records.update(id(2), cli, [started, ended(new Stopped())])
            const db = new Sqlite(file)
            db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${stopped})
            INSERT INTO instances (id, handle, ${columns})
            SELECT 'inst-9' || i, 'old' || i, ${columns} FROM instances, n WHERE handle = 'ended'`)
            db.close()
            return records
          })
        const few = yield* prepared(1)
        const many = yield* prepared(10_000)
        assert.lengthOf(yield* many.list({ states: ["stopped"] }), 10_001)
        const live = ["starting", "running", "paused"] as const
        const operations = (records: typeof few) => [
          () => Effect.asVoid(records.list({ states: live })),
          () => Effect.asVoid(records.get("live")),
          (round: number) =>
            Effect.asVoid(
              Effect.zipRight(
                records.insert(id(100 + round), cli, created(`s${round}`)),
                records.update(id(100 + round), cli, [started, ended(new Stopped())])
              )
            )
        ]
        // The best of many, taken in turns: what else the machine does falls out.
        const best = [few, many].map((records) => operations(records).map((run) => ({ run, millis: Infinity })))
        for (let round = 0; round < 40; round++) {
          for (const measured of best.flat()) {
            const [duration] = yield* Effect.timed(measured.run(round))
            measured.millis = Math.min(measured.millis, Duration.toMillis(duration))
          }
        }
        best[1]?.forEach(({ millis }, index) => assert.isBelow(millis, 2 * (best[0]?.[index]?.millis ?? 0)))
      })
  )
})
