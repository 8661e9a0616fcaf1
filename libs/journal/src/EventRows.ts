/**
 * Events as rows of the table and back.
 */
import { ByUnknown, EventCause, EventData, EventHash, InstanceId, JournalEvent, UnreadableEvent } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { hashOf } from "./HashChain.ts"

/** What is to be written; the journal adds the number, the time and the hashes. */
export interface Entry {
  readonly instanceId?: InstanceId | undefined
  readonly cause: EventCause
  readonly data: EventData
}

export const EventRow = Schema.Struct({
  seq: Schema.Int,
  at: Schema.Int,
  instance_id: Schema.NullOr(InstanceId),
  previous_hash: EventHash,
  hash: EventHash,
  cause: Schema.String,
  data: Schema.String
})
export type EventRow = typeof EventRow.Type

const CauseText = Schema.parseJson(EventCause)
const DataText = Schema.parseJson(EventData)
const encodeCause = Schema.encode(CauseText)
const encodeData = Schema.encode(DataText)
const decodeCause = Schema.decodeEither(CauseText)
const decodeData = Schema.decodeEither(DataText)
const decodeRow = Schema.decodeUnknown(EventRow)

/** The row that follows `previous`. An entry that its own schema refuses is a bug. */
export const next = (previous: { readonly seq: number; readonly hash: string }, at: number, entry: Entry) =>
  Effect.gen(function* () {
    const unhashed = {
      seq: previous.seq + 1,
      at,
      instanceId: entry.instanceId ?? null,
      cause: yield* Effect.orDie(encodeCause(entry.cause)),
      data: yield* Effect.orDie(encodeData(entry.data))
    }
    const { cause, data, instanceId, seq } = unhashed
    const hash = hashOf(previous.hash, unhashed)
    const row: EventRow = { seq, at, instance_id: instanceId, previous_hash: previous.hash, hash, cause, data }
    return { row, event: toEvent(row, entry.cause, entry.data) }
  })

/** Reads a row. A cause or content that this version cannot read comes as `Unknown` or `Unreadable`, so that the others are served (T-254). */
export const read = (row: unknown) =>
  Effect.map(decodeRow(row), (decoded) =>
    toEvent(
      decoded,
      Either.getOrElse(decodeCause(decoded.cause), () => new ByUnknown({ text: decoded.cause })),
      Either.getOrElse(decodeData(decoded.data), () => new UnreadableEvent({ text: decoded.data }))
    )
  )

/** Its parts are decoded already; the class would check them all again, which takes 300 µs. */
const toEvent = (row: EventRow, cause: EventCause, data: EventData): JournalEvent =>
  new JournalEvent(
    {
      seq: row.seq,
      at: DateTime.unsafeMake(row.at),
      ...(row.instance_id === null ? {} : { instanceId: row.instance_id }),
      cause,
      data,
      previousHash: row.previous_hash,
      hash: row.hash
    },
    true
  )
