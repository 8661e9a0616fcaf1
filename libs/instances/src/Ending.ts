/**
 * How instances end: stopped, with their record kept, or removed with every trace.
 */
import {
  type EventCause,
  type EndReason,
  InstanceDeleted,
  type InstanceId,
  InstancePruned,
  Stopped
} from "@aegis/domain"
import { crashPoint } from "@aegis/host"
import type { InstanceRecord } from "@aegis/journal"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Grace } from "./Life.ts"
import { Action } from "./Lifecycle.ts"
import { type Parts, type Unless, usualGrace } from "./Parts.ts"

/** How it is written down, and what calls it off. */
interface StopOptions {
  readonly reason: EndReason
  readonly unless?: Unless
}

export type Ending = ReturnType<typeof make>

export const make = ({
  act,
  endpointUses,
  idleTunnels,
  lifeOf,
  lock,
  logs,
  records,
  ports,
  usage,
  workspaces,
  shown
}: Parts) => {
  const stopLife = (id: InstanceId, grace: Grace, reason: EndReason) =>
    Option.match(lifeOf(id), {
      onNone: () => Effect.void,
      onSome: (life) => life.stop(grace, reason)
    })

  const stopRecord = (
    found: InstanceRecord,
    grace: Grace,
    cause: EventCause,
    { reason, unless }: StopOptions = { reason: new Stopped() }
  ) =>
    Effect.gen(function* () {
      const record = yield* act(
        found.id,
        cause,
        Action.Stop({ graceSeconds: Duration.toSeconds(grace.commands) }),
        unless
      ).pipe(Effect.catchTag("NotNow", () => Effect.succeed(undefined)))
      // Somebody may have come while it was written.
      if (record === undefined || unless?.(record) === true) return
      yield* crashPoint("the stop is written down")
      yield* stopLife(found.id, grace, reason)
    })

  /** Removes the record and what belongs to it alone. The instance is stopped. */
  const forget = (id: InstanceId, cause: EventCause, data: InstanceDeleted | InstancePruned) =>
    Effect.gen(function* () {
      yield* crashPoint("it is to be forgotten")
      yield* workspaces.forget(id)
      yield* crashPoint("its workspace is gone")
      yield* Effect.ignoreLogged(logs.remove(id))
      yield* crashPoint("its log is gone")
      yield* records.remove(id, cause, data)
      yield* ports.close(id)
      yield* usage.forget(id)
      endpointUses.forget(id)
      idleTunnels.forget(id)
      yield* crashPoint("its record is gone")
    })

  const removeId = (id: InstanceId, cause: EventCause, grace = usualGrace) =>
    lock(id)(
      Effect.gen(function* () {
        yield* stopRecord(yield* records.get(id), grace, cause)
        yield* forget(id, cause, new InstanceDeleted())
      })
    ).pipe(Effect.uninterruptible, Effect.withSpan("Instances.remove"))

  const stop = (target: string, grace: Grace, cause: EventCause, options?: StopOptions) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      yield* lock(id)(Effect.flatMap(records.get(id), (record) => stopRecord(record, grace, cause, options)))
      return shown(yield* records.get(id))
    }).pipe(Effect.uninterruptible, Effect.withSpan("Instances.stop"))

  const prune = (stoppedFor: Duration.Duration, cause: EventCause) =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const old = yield* records.list({
        states: ["stopped"],
        stoppedBefore: DateTime.subtractDuration(now, stoppedFor)
      })
      return yield* Effect.forEach(old, ({ id }) =>
        lock(id)(
          Effect.gen(function* () {
            const record = yield* records.get(id)
            // It may have been started since.
            if (record.state !== "stopped" || record.stoppedAt === undefined) return []
            const stoppedForSeconds = Duration.toSeconds(DateTime.distanceDuration(record.stoppedAt, now))
            yield* forget(id, cause, new InstancePruned({ stoppedForSeconds }))
            return [id]
          })
        ).pipe(Effect.catchTag("NotFound", () => Effect.succeed([])))
      ).pipe(Effect.map((removed) => removed.flat()))
    }).pipe(Effect.withSpan("Instances.prune"))

  return { stopRecord, removeId, stop, prune }
}
