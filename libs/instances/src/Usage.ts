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
  /** Clients that follow a command beside the primary one. */
  sessions: number
  lastActive: number
  written: number
}

export type Usage = ReturnType<typeof make>

export const make = (records: Context.Tag.Service<InstanceRecords>) => {
  const uses = new Map<InstanceId, Use>()

  const useOf = (id: InstanceId) => {
    const use = uses.get(id) ?? { connections: 0, sessions: 0, lastActive: 0, written: 0 }
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

  const counted =
    (what: "connections" | "sessions") =>
    (id: InstanceId): Effect.Effect<void, never, Scope.Scope> =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          useOf(id)[what]++
          return touch(id)
        }),
        () =>
          Effect.suspend(() => {
            useOf(id)[what]--
            return touch(id)
          })
      )

  /** Whether anybody uses it at this moment. */
  const isBusy = (id: InstanceId) => {
    const use = uses.get(id)
    return use !== undefined && use.connections + use.sessions > 0
  }

  const connections = (id: InstanceId) => uses.get(id)?.connections ?? 0

  const lastActive = ({ id, lastActiveAt }: InstanceRecord): DateTime.Utc =>
    DateTime.max(lastActiveAt, DateTime.unsafeMake(uses.get(id)?.lastActive ?? 0))

  return {
    /** Counts as one connection until the scope closes. */
    enter: counted("connections"),
    /** Counts as a client that follows a command, until the scope closes. */
    follow: counted("sessions"),
    isBusy,
    touch,
    connections,
    lastActive,
    forget: (id: InstanceId) => Effect.sync(() => uses.delete(id))
  }
}
