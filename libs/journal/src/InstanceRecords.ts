/**
 * What instances there are: a table that is written in the transaction of the events it follows from.
 */
import {
  Environment,
  type EventCause,
  HandleTaken,
  InstanceCreated,
  type InstanceDeleted,
  InstanceId,
  type InstancePruned,
  InstanceSpec,
  type InstanceState,
  type JournalEvent,
  NotFound,
  StoreCorrupt,
  type StoreError,
  withBlankEnvironment
} from "@aegis/domain"
import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { after, type InstanceChange, type InstanceRecord, trusted } from "./InstanceRecord.ts"
import * as InstanceRows from "./InstanceRows.ts"
import { Journal } from "./Journal.ts"
import * as LiveRecords from "./LiveRecords.ts"
import { Store } from "./Store.ts"
import { codeOf } from "./StoreFailure.ts"

export interface RecordFilter {
  readonly states?: ReadonlyArray<InstanceState> | undefined
  readonly stoppedBefore?: DateTime.Utc | undefined
  /** Whether they belong to a client that follows them. */
  readonly ephemeral?: boolean | undefined
  /** The directory of the host that their guests see. */
  readonly workspace?: string | undefined
  readonly limit?: number | undefined
}

export class InstanceRecords extends Context.Tag("@aegis/journal/InstanceRecords")<
  InstanceRecords,
  {
    /** A new id: Unix nanoseconds, larger than every id that was ever recorded, whatever the clock does (D-20). */
    readonly nextId: Effect.Effect<InstanceId>
    /** Records a new instance. Its handle is another's as long as that one's record exists (D-06, D-16). */
    readonly insert: (
      id: InstanceId,
      cause: EventCause,
      created: InstanceCreated
    ) => Effect.Effect<InstanceRecord, HandleTaken | StoreError>
    /**
     * Writes what happened to an instance, and its record after it. `change` says what, from the record as it is, in the same
     * transaction: no other change comes between. Nothing is written for no events.
     */
    readonly update: <E = never>(
      id: InstanceId,
      cause: EventCause,
      change:
        ReadonlyArray<InstanceChange> | ((record: InstanceRecord) => Effect.Effect<ReadonlyArray<InstanceChange>, E>)
    ) => Effect.Effect<InstanceRecord, Exclude<E, SqlError> | NotFound | StoreError>
    /** Removes the record; the events stay. Works on one that cannot be read, too. */
    readonly remove: (
      id: InstanceId,
      cause: EventCause,
      data: InstanceDeleted | InstancePruned
    ) => Effect.Effect<void, NotFound | StoreError>
    /** By handle, in whatever case, or id. */
    readonly get: (target: string) => Effect.Effect<InstanceRecord, NotFound | StoreError>
    /** Oldest first, the oldest `limit`. Records that cannot be read are left out: `repair` deals with them. */
    readonly list: (filter?: RecordFilter) => Effect.Effect<ReadonlyArray<InstanceRecord>, StoreError>
    /** Of all of them, also of those that cannot be read; for who does not need the rest: reading ten thousand records takes a second. */
    readonly ids: Effect.Effect<ReadonlySet<string>, StoreError>
    /** It was used just now (S-110). No event; nothing for an instance that is gone. */
    readonly touch: (id: InstanceId) => Effect.Effect<void, StoreError>
    /** Its guest's events are dealt with up to this number. No event; nothing for an instance that is gone. */
    readonly keepCursor: (id: InstanceId, cursor: number) => Effect.Effect<void, StoreError>
    /**
     * Makes records that cannot be read anew from their events, and the values of their environments from what is left of them (T-254). Gives
     * all records that can be read then, oldest first, and the ids of the others.
     */
    readonly repair: Effect.Effect<
      { readonly records: ReadonlyArray<InstanceRecord>; readonly unreadable: ReadonlyArray<string> },
      StoreError
    >
  }
>() {
  static readonly layer: Layer.Layer<InstanceRecords, StoreError, Journal | Store> = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const { file, read, sql, transaction } = yield* Store
  const journal = yield* Journal
  const marks = yield* read(sql<{ last_instance: string }>`SELECT last_instance FROM head`)
  let lastId = BigInt(marks[0]?.last_instance ?? 0)
  const live = LiveRecords.make()

  const select = (target: string) =>
    // An id has not the form of a handle, so at most one of them is found.
    sql`SELECT * FROM instances WHERE id = ${target} OR handle = ${target.toLowerCase()}`

  const decode = (row: InstanceRows.Row, asked: number) =>
    Effect.mapError(
      live.read(row, asked),
      ({ message }) =>
        new StoreCorrupt({
          path: file,
          reason: `the record of ${String(row["id"])} cannot be read: ${firstLine(message)}`
        })
    )

  const find = (target: string) =>
    Effect.gen(function* () {
      const asked = live.edges()
      const [row] = yield* select(target)
      return row === undefined ? yield* new NotFound({ target }) : yield* decode(row, asked)
    })

  const put = (record: InstanceRecord) =>
    Effect.flatMap(
      InstanceRows.write(record),
      (row) => sql`UPDATE instances SET ${sql.update(row, ["id"])} WHERE id = ${record.id}`
    ).pipe(Effect.asVoid)

  const insertRow = (record: InstanceRecord) =>
    Effect.flatMap(InstanceRows.write(record), (row) => sql`INSERT INTO instances ${sql.insert(row)}`).pipe(
      Effect.asVoid,
      Effect.catchTag("SqlError", (error) => handleTaken(record, error))
    )

  /** The statement failed alone: the transaction is still open. */
  const handleTaken = (record: InstanceRecord, error: SqlError) =>
    codeOf(error) !== "SQLITE_CONSTRAINT_UNIQUE" || record.handle === undefined
      ? Effect.fail(error)
      : Effect.flatMap(
          sql<{ state: string }>`SELECT state FROM instances WHERE handle = ${record.handle}`,
          ([holder]) =>
            Effect.fail(
              holder === undefined ? error : new HandleTaken({ handle: record.handle ?? "", state: holder.state })
            )
        )

  const fold = (record: Option.Option<InstanceRecord>, events: ReadonlyArray<JournalEvent>) =>
    Effect.orDie(events.reduce(after, record))

  const insert = Effect.fn("InstanceRecords.insert")(function* (
    id: InstanceId,
    cause: EventCause,
    created: InstanceCreated
  ) {
    // Events are kept for ever: the values of the environment are in the record alone, and go with it.
    const data = new InstanceCreated({ ...created, spec: withBlankEnvironment(created.spec, "") })
    const recordOf = (events: ReadonlyArray<JournalEvent>) =>
      Effect.map(fold(Option.none(), events), (record) => trusted({ ...record, spec: created.spec }))
    const events = yield* live.writing(
      journal.append([{ instanceId: id, cause, data }], (written) => Effect.flatMap(recordOf(written), insertRow))
    )
    return yield* recordOf(events)
  })

  const update = <E>(
    id: InstanceId,
    cause: EventCause,
    change:
      ReadonlyArray<InstanceChange> | ((record: InstanceRecord) => Effect.Effect<ReadonlyArray<InstanceChange>, E>)
  ) =>
    Effect.gen(function* () {
      let before = Option.none<InstanceRecord>()
      const entries = Effect.gen(function* () {
        const found = yield* find(id)
        before = Option.some(found)
        const data = typeof change === "function" ? yield* change(found) : change
        return data.map((one) => ({ instanceId: id, cause, data: one }))
      })
      const events = yield* live.writing(
        journal.append<E | NotFound | StoreCorrupt, never>(entries, (written) =>
          Effect.flatMap(fold(before, written), put)
        )
      )
      const record = yield* fold(before, events)
      if (record.state === "stopped") live.forget(id)
      return record
    }).pipe(Effect.withSpan("InstanceRecords.update"))

  const remove = Effect.fn("InstanceRecords.remove")(function* (
    id: InstanceId,
    cause: EventCause,
    data: InstanceDeleted | InstancePruned
  ) {
    let holdsValues = false
    const entries = Effect.flatMap(select(id), ([row]) => {
      holdsValues = Object.values(environmentIn(row)).some((value) => value !== "")
      return row === undefined
        ? Effect.fail(new NotFound({ target: id }))
        : Effect.succeed([{ instanceId: id, cause, data }])
    })
    yield* live.writing(journal.append(entries, () => Effect.asVoid(sql`DELETE FROM instances WHERE id = ${id}`)))
    live.forget(id)
    // Until the log is emptied into the file, it holds what the row was.
    if (holdsValues) yield* Effect.ignoreLogged(read(sql`PRAGMA wal_checkpoint(TRUNCATE)`))
  })

  const rows = ({ ephemeral, limit = -1, states, stoppedBefore, workspace }: RecordFilter) =>
    sql`SELECT * FROM instances WHERE ${sql.and([
      sql`1`,
      ...(states === undefined ? [] : [sql.in("state", states)]),
      ...(ephemeral === undefined
        ? []
        : [sql`CASE WHEN json_valid(spec) THEN json_extract(spec, '$.ephemeral') END = ${ephemeral ? 1 : 0}`]),
      ...(workspace === undefined ? [] : [sql`workspace = ${workspace}`]),
      ...(stoppedBefore === undefined
        ? []
        : [sql`state = 'stopped' AND stopped_at < ${DateTime.toEpochMillis(stoppedBefore)}`])
    ])} ORDER BY number LIMIT ${limit}`

  const list = Effect.fn("InstanceRecords.list")(function* (filter: RecordFilter = {}) {
    const asked = live.edges()
    const found = yield* read(rows(filter))
    const decoded = yield* Effect.forEach(found, (row) => Effect.option(live.read(row, asked)))
    return decoded.flatMap(Option.toArray)
  })

  const rebuild = (row: InstanceRows.Row) =>
    Effect.gen(function* () {
      const id = String(row["id"])
      const record = yield* Stream.runFold(
        journal.events({ instanceId: InstanceId.make(id) }),
        Option.none<InstanceRecord>(),
        after
      )
      if (Option.isNone(record)) return Either.left(id)
      const { spec } = record.value
      const env = environmentIn(row)
      // The values are in no event: where the row has lost them, a start with empty ones would be worse than none.
      if (Object.keys(spec.env).some((name) => env[name] === undefined)) return Either.left(id)
      const repaired = trusted({ ...record.value, spec: new InstanceSpec({ ...spec, env }) })
      yield* live.writing(transaction(put(repaired)))
      return Either.right(repaired)
    })

  const repair = Effect.gen(function* () {
    const found = yield* read(rows({}))
    const each = yield* Effect.forEach(found, (row) =>
      Effect.orElse(Effect.map(InstanceRows.read(row), Either.right), () => rebuild(row))
    )
    const [unreadable, records] = Arr.separate(each)
    return { records, unreadable }
  })

  return InstanceRecords.of({
    nextId: Effect.map(Clock.currentTimeNanos, (now) => {
      lastId = now > lastId ? now : lastId + 1n
      return InstanceId.make(`inst-${lastId}`)
    }),
    insert,
    update,
    remove,
    get: (target) =>
      Effect.suspend(() => {
        const known = live.known(target)
        return known === undefined ? Effect.withSpan(read(find(target)), "InstanceRecords.get") : Effect.succeed(known)
      }),
    list,
    ids: Effect.map(read(sql<{ id: string }>`SELECT id FROM instances`), (found) => new Set(found.map(({ id }) => id))),
    touch: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        live.writing(
          Effect.asVoid(
            transaction(sql`UPDATE instances SET last_active_at = max(last_active_at, ${now}) WHERE id = ${id}`)
          )
        )
      ),
    keepCursor: (id, cursor) =>
      live.writing(
        Effect.asVoid(transaction(sql`UPDATE instances SET cursor = ${cursor} WHERE id = ${id} AND vm IS NOT NULL`))
      ),
    repair: Effect.withSpan(repair, "InstanceRecords.repair")
  })
})

const SpecEnvironment = Schema.parseJson(Schema.Struct({ env: Environment }))

/** What a row knows of its instance's environment, even where the rest of it cannot be read. */
const environmentIn = (row: InstanceRows.Row | undefined): Environment =>
  Option.match(Schema.decodeUnknownOption(SpecEnvironment)(row?.["spec"]), {
    onNone: () => ({}),
    onSome: ({ env }) => env
  })

const firstLine = (text: string) => text.split("\n", 1)[0] ?? ""
