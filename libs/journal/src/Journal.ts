/**
 * The append-only record of everything the runtime did and why.
 */
import { DiskFull, InstanceId, type JournalEvent, StoreCorrupt, type StoreError } from "@aegis/domain"
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Entry, type EventRow, next, read } from "./EventRows.ts"
import { Store } from "./Store.ts"
import { type Verdict, verify } from "./Verify.ts"

/** Which events: those of one instance, after a number, from a time on; all that are given must hold. */
export interface EventFilter {
  readonly instanceId?: InstanceId | undefined
  readonly after?: number | undefined
  readonly since?: DateTime.Utc | undefined
}

export class Journal extends Context.Tag("@aegis/journal/Journal")<
  Journal,
  {
    /**
     * Writes events, and in the same transaction what `project` writes; all of it is on the disk when it succeeds. Entries given as
     * an effect are found out in that transaction too. No entries write nothing. Both may be run again while another process writes.
     */
    readonly append: <E1 = never, E2 = never>(
      entries: ReadonlyArray<Entry> | Effect.Effect<ReadonlyArray<Entry>, E1 | SqlError>,
      project?: (events: ReadonlyArray<JournalEvent>, sql: SqlClient.SqlClient) => Effect.Effect<void, E2 | SqlError>
    ) => Effect.Effect<ReadonlyArray<JournalEvent>, Exclude<E1 | E2, SqlError> | StoreError>
    /** What is there, oldest first, at most `limit`. */
    readonly events: (filter?: EventFilter & { readonly limit?: number }) => Stream.Stream<JournalEvent, StoreError>
    /** What is there, then what comes, without end, gap or duplicate. A slow reader keeps nobody waiting: it reads from the table. */
    readonly subscribe: (filter?: EventFilter) => Stream.Stream<JournalEvent, StoreError>
    /** The number of the last event; 0 when there is none. */
    readonly lastSeq: Effect.Effect<number, StoreError>
    /** Reads every row and checks its hash against the one before it. */
    readonly verify: Effect.Effect<Verdict, StoreError>
  }
>() {
  static readonly layer: Layer.Layer<Journal, never, Store> = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

/** Rows per read: one read blocks the thread for a few milliseconds. */
const pageRows = 200

const Head = Schema.Struct({ seq: Schema.Int, hash: Schema.String, last_instance: Schema.String })

/** What begins a life needs room for more than itself; there was some when it could be written. */
const takesRoom = ({ data }: Entry) => data._tag === "InstanceCreated" || data._tag === "StartRequested"

const make = Effect.gen(function* () {
  const store = yield* Store
  const { sql } = store
  // Done by the next commit, and then replaced. Taken before a read, it tells of every commit that the read may have missed.
  let commit = Deferred.unsafeMake<void>(yield* Effect.fiberId)

  const announce = Effect.gen(function* () {
    const done = commit
    commit = yield* Deferred.make<void>()
    yield* Deferred.succeed(done, undefined)
  })

  const head = Effect.flatMap(sql`SELECT seq, hash, last_instance FROM head`, (rows) =>
    Effect.mapError(
      Schema.decodeUnknown(Head)(rows[0]),
      () => new StoreCorrupt({ path: store.file, reason: "its head cannot be read" })
    )
  )

  const write = (entries: ReadonlyArray<Entry>) =>
    Effect.gen(function* () {
      const found = yield* head
      const at = yield* Clock.currentTimeMillis
      const rows: Array<EventRow> = []
      const events: Array<JournalEvent> = []
      for (const entry of entries) {
        const { event, row } = yield* next(rows.at(-1) ?? found, at, entry)
        rows.push(row)
        events.push(event)
      }
      for (let from = 0; from < rows.length; from += 500) {
        yield* sql`INSERT INTO events ${sql.insert(rows.slice(from, from + 500))}`
      }
      const last = rows.at(-1) ?? found
      const lastInstance = entries.reduce(newestId, BigInt(found.last_instance))
      yield* sql`UPDATE head SET seq = ${last.seq}, hash = ${last.hash}, last_instance = ${String(lastInstance)}`
      return events
    })

  const page = (filter: EventFilter, after: number, rows: number) =>
    store
      .read(
        sql`SELECT seq, at, instance_id, previous_hash, hash, cause, data FROM events
          WHERE ${sql.and([
            sql`seq > ${after}`,
            ...(filter.instanceId === undefined ? [] : [sql`instance_id = ${filter.instanceId}`]),
            ...(filter.since === undefined ? [] : [sql`at >= ${DateTime.toEpochMillis(filter.since)}`])
          ])} ORDER BY seq LIMIT ${rows}`
      )
      .pipe(
        Effect.flatMap((found) =>
          Effect.forEach(found, (row) =>
            Effect.mapError(
              read(row),
              () => new StoreCorrupt({ path: store.file, reason: `event ${String(row["seq"])} cannot be read` })
            )
          )
        )
      )

  /** Where a read from a time on begins. By itself SQLite would walk through all that came before it. */
  const start = ({ after = 0, since }: EventFilter) =>
    since === undefined
      ? Effect.succeed(after)
      : store
          .read(
            sql<{
              first: number | null
            }>`SELECT min(seq) AS first FROM events INDEXED BY events_at WHERE at >= ${DateTime.toEpochMillis(since)}`
          )
          .pipe(Effect.map((rows) => Math.max(after, (rows[0]?.first ?? 1) - 1)))

  const lastOf = (events: ReadonlyArray<JournalEvent>, otherwise: number) => events.at(-1)?.seq ?? otherwise

  const replay = (filter: EventFilter, limit: number) =>
    Effect.map(start(filter), (first) =>
      Stream.paginateChunkEffect({ after: first, left: limit }, ({ after, left }) => {
        const rows = Math.min(left, pageRows)
        return Effect.map(page(filter, after, rows), (events) => {
          const rest = { after: lastOf(events, after), left: left - events.length }
          const more = events.length === rows && rest.left > 0
          return [Chunk.unsafeFromArray(events), more ? Option.some(rest) : Option.none()] as const
        })
      })
    )

  const follow = (filter: EventFilter) =>
    Effect.map(start(filter), (first) =>
      Stream.paginateChunkEffect(first, (after) =>
        Effect.gen(function* () {
          for (;;) {
            const changed = commit
            const events = yield* page(filter, after, pageRows)
            if (events.length > 0) return [Chunk.unsafeFromArray(events), Option.some(lastOf(events, after))] as const
            yield* Deferred.await(changed)
          }
        })
      )
    )

  return Journal.of({
    append: (entries, project) =>
      Effect.suspend(() => {
        let asked: ReadonlyArray<Entry> = []
        const written = store.transaction(
          Effect.gen(function* () {
            asked = Effect.isEffect(entries) ? yield* entries : entries
            const events = yield* write(asked)
            if (project !== undefined && events.length > 0) yield* project(events, sql)
            return events
          }),
          () => Effect.zipRight(announce, asked.some(takesRoom) ? store.reserve.keep : Effect.void)
        )
        return Effect.catchIf(
          written,
          (error) => error instanceof DiskFull && !asked.some(takesRoom),
          (full) => Effect.flatMap(store.reserve.give, (given) => (given ? written : Effect.fail(full)))
        )
      }).pipe(Effect.withSpan("Journal.append")),
    events: (filter = {}) => Stream.unwrap(replay(filter, filter.limit ?? Infinity)),
    subscribe: (filter = {}) => Stream.unwrap(follow(filter)),
    lastSeq: Effect.map(store.read(head), ({ seq }) => seq),
    verify: Effect.withSpan(verify(store), "Journal.verify")
  })
})

/** Ids are numbers that we gave; the largest ever recorded is kept, for the next daemon to give larger ones (D-20). */
const newestId = (newest: bigint, { instanceId = InstanceId.make("inst-0") }: Entry): bigint => {
  const number = BigInt(instanceId.slice("inst-".length))
  return number > newest ? number : newest
}
