/**
 * Who uses an instance at the moment, and when it was last used. In memory; the records learn of it now and then.
 */
import type { InstanceId } from "@aegis/domain"
import type { InstanceRecord, InstanceRecords } from "@aegis/journal"
import type * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Each write is one to the disk. */
const writtenEveryMillis = 10_000

interface Use {
  connections: number
  lastActive: number
  written: number
}

export type Usage = ReturnType<typeof make>

export const make = (records: Context.Tag.Service<InstanceRecords>) => {
  const uses = new Map<InstanceId, Use>()

  const useOf = (id: InstanceId) => {
    const use = uses.get(id) ?? { connections: 0, lastActive: 0, written: 0 }
    uses.set(id, use)
    return use
  }

  /** It was used just now. */
  const touch = (id: InstanceId) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const use = useOf(id)
      use.lastActive = now
      if (now - use.written < writtenEveryMillis) return Effect.void
      use.written = now
      return Effect.asVoid(Effect.forkDaemon(Effect.ignore(records.touch(id))))
    })

  /** Counts as one connection until the scope closes. */
  const enter = (id: InstanceId): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        useOf(id).connections++
        return touch(id)
      }),
      () =>
        Effect.suspend(() => {
          useOf(id).connections--
          return touch(id)
        })
    )

  const connections = (id: InstanceId) => uses.get(id)?.connections ?? 0

  const lastActive = ({ id, lastActiveAt }: InstanceRecord): DateTime.Utc =>
    DateTime.max(lastActiveAt, DateTime.unsafeMake(uses.get(id)?.lastActive ?? 0))

  return { enter, touch, connections, lastActive, forget: (id: InstanceId) => Effect.sync(() => uses.delete(id)) }
}
