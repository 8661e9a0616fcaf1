/**
 * Who uses an instance at the moment, and when it was last used. In memory; the records learn of it now and then.
 */
import type { InstanceId } from "@aegis/domain"
import type { InstanceRecord, InstanceRecords } from "@aegis/journal"
import type * as Context from "effect/Context"
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
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

type What = "connections" | "sessions"

export type Usage = ReturnType<typeof usageOf>

export const make = (records: Context.Tag.Service<InstanceRecords>) =>
  Effect.map(Effect.all([Effect.clock, Effect.runtime<never>()]), ([clock, runtime]) =>
    usageOf(records, clock, Runtime.runFork(runtime))
  )

const usageOf = (
  records: Context.Tag.Service<InstanceRecords>,
  clock: Clock.Clock,
  fork: (work: Effect.Effect<void>) => unknown
) => {
  const uses = new Map<InstanceId, Use>()

  const useOf = (id: InstanceId) => {
    const use = uses.get(id) ?? { connections: 0, sessions: 0, lastActive: 0, written: 0 }
    uses.set(id, use)
    return use
  }

  const touch = (id: InstanceId) => {
    const use = useOf(id)
    use.lastActive = clock.unsafeCurrentTimeMillis()
    if (use.lastActive - use.written < writtenEveryMillis) return
    use.written = use.lastActive
    fork(Effect.ignore(records.touch(id)))
  }

  const come = (id: InstanceId, what: What) => {
    useOf(id)[what]++
    touch(id)
  }

  const go = (id: InstanceId, what: What) => {
    useOf(id)[what]--
    touch(id)
  }

  const counted =
    (what: What) =>
    (id: InstanceId): Effect.Effect<void, never, Scope.Scope> =>
      Effect.acquireRelease(
        Effect.sync(() => come(id, what)),
        () => Effect.sync(() => go(id, what))
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
    /** The same as two calls. */
    come,
    go,
    isBusy,
    /** It was used just now. */
    touch: (id: InstanceId) => Effect.sync(() => touch(id)),
    connections,
    lastActive,
    forget: (id: InstanceId) => Effect.sync(() => uses.delete(id))
  }
}
