/**
 * The check of the whole chain, for `aegis audit verify`.
 */
import type { StoreError } from "@aegis/domain"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { EventRow } from "./EventRows.ts"
import { hashOf, zeroHash } from "./HashChain.ts"
import type { Store } from "./Store.ts"

/** `events` rows are as they were written; `firstBad` is the first that is not, or not there. */
export interface Verdict {
  readonly events: number
  readonly firstBad?: { readonly seq: number; readonly reason: string }
}

const pageRows = 500

const decodeRow = Schema.decodeUnknownEither(EventRow)
const decodeHead = Schema.decodeUnknownEither(Schema.Struct({ seq: Schema.Int, hash: Schema.String }))

/** Reads up to the row that is the last one when it begins. Gives the thread away after every page. */
export const verify = ({ read, sql }: Context.Tag.Service<typeof Store>): Effect.Effect<Verdict, StoreError> => {
  const walk: Effect.Effect<Verdict, SqlError> = Effect.gen(function* () {
    const head = decodeHead((yield* sql`SELECT seq, hash FROM head`)[0])
    if (Either.isLeft(head)) return { events: 0, firstBad: { seq: 0, reason: "the head cannot be read" } }
    let previous = { seq: 0, hash: zeroHash }
    while (previous.seq < head.right.seq) {
      const rows = yield* sql`SELECT * FROM events WHERE seq > ${previous.seq} AND seq <= ${head.right.seq}
        ORDER BY seq LIMIT ${pageRows}`
      if (rows.length === 0) break
      for (const row of rows) {
        const reason = problemOf(previous, row)
        if (reason !== undefined) return bad(previous.seq, reason)
        previous = { seq: previous.seq + 1, hash: String(row["hash"]) }
      }
      yield* Effect.yieldNow()
    }
    if (previous.seq < head.right.seq) return bad(previous.seq, "it is missing, and so are all after it")
    if (previous.hash !== head.right.hash) return bad(previous.seq - 1, "it is not the row that was written last")
    const beyond = yield* sql<{ seq: number }>`SELECT min(seq) AS seq FROM events WHERE seq < 1`
    return typeof beyond[0]?.seq === "number"
      ? { events: previous.seq, firstBad: { seq: beyond[0].seq, reason: "it was put before the first" } }
      : { events: previous.seq }
  })
  return read(walk)
}

const bad = (good: number, reason: string): Verdict => ({ events: good, firstBad: { seq: good + 1, reason } })

const problemOf = (previous: { readonly seq: number; readonly hash: string }, found: unknown): string | undefined => {
  const decoded = decodeRow(found)
  if (Either.isLeft(decoded)) return "its row has not the form of an event"
  const row = decoded.right
  if (row.seq !== previous.seq + 1) return "it is missing"
  if (row.previous_hash !== previous.hash) return "it does not follow the row before it"
  const { at, cause, data, instance_id: instanceId, seq } = row
  return hashOf(previous.hash, { seq, at, instanceId, cause, data }) === row.hash
    ? undefined
    : "its content was changed"
}
