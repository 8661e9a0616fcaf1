/**
 * The records of instances that are alive, in memory: each connection, exec and round of the idle timer asks for them.
 */
import * as Effect from "effect/Effect"
import type { InstanceRecord } from "./InstanceRecord.ts"
import * as InstanceRows from "./InstanceRows.ts"

interface Entry {
  readonly row: InstanceRows.Row
  readonly record: InstanceRecord
  /** How many writes had begun, and had ended, when it was asked for. */
  readonly edges: number
}

export const make = () => {
  const alive = new Map<unknown, Entry>()
  let edges = 0
  let open = 0

  /**
   * The record of an id where the table cannot say anything else. While something is written, only the table knows: who asks it waits, and
   * learns what was decided before.
   */
  const known = (id: string): InstanceRecord | undefined => {
    const entry = alive.get(id)
    return open === 0 && entry?.edges === edges ? entry.record : undefined
  }

  /** Reads a row; one that is as it was is not decoded again. `asked`: the edges when it was asked for. */
  const read = (row: InstanceRows.Row, asked: number) =>
    Effect.suspend(() => {
      const id = row["id"]
      const last = alive.get(id)
      if (last !== undefined && Object.keys(row).every((column) => row[column] === last.row[column])) {
        alive.set(id, { ...last, edges: asked })
        return Effect.succeed(last.record)
      }
      alive.delete(id)
      return Effect.tap(InstanceRows.read(row), (record) =>
        Effect.sync(() => (record.state === "stopped" ? undefined : alive.set(id, { row, record, edges: asked })))
      )
    })

  /** Whatever writes to the table. */
  const writing = <A, E, R>(write: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        edges += 1
        open += 1
      }),
      () => write,
      () =>
        Effect.sync(() => {
          edges += 1
          open -= 1
        })
    )

  return { known, read, writing, edges: () => edges, forget: (id: string) => void alive.delete(id) }
}
