/**
 * Leases that keep instances from being paused and stopped for idling.
 */
import {
  ByDaemon,
  type EventCause,
  Keepalive,
  KeepaliveEnded,
  KeepaliveGiven,
  type KeepaliveRequest,
  StateConflict
} from "@aegis/domain"
import type { InstanceRecord } from "@aegis/journal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { Parts } from "./Parts.ts"

/** Whether its lease holds at that time, in milliseconds since 1970. */
export const isKept = ({ keepalive }: InstanceRecord, now: number): boolean =>
  keepalive !== undefined && keepalive.until.epochMillis > now

/** Writes down that a lease is over whose time has come. */
export const endOutdated = (records: Parts["records"], { id, keepalive }: InstanceRecord, now: number) =>
  keepalive === undefined || keepalive.until.epochMillis > now
    ? Effect.void
    : records.update(id, new ByDaemon({ because: "the time it was to be kept for is over" }), (record) =>
        // It may have been given another since.
        Effect.succeed(record.keepalive === undefined || isKept(record, now) ? [] : [new KeepaliveEnded()])
      )

export const make = ({ records, shown }: Parts) => ({
  keepAlive: (target: string, { reason, seconds }: KeepaliveRequest, cause: EventCause) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      const now = yield* DateTime.now
      const record = yield* records.update(id, cause, ({ handle, keepalive, state }) => {
        // What nobody holds may be given back.
        if (seconds === 0) return Effect.succeed(keepalive === undefined ? [] : [new KeepaliveEnded()])
        if (state === "stopped") {
          const name = handle ?? id
          const remedy = handle === undefined ? `aegis instance info ${id}` : `aegis instance start --name ${handle}`
          return new StateConflict({ target: name, state, remedy })
        }
        const until = DateTime.add(now, { seconds })
        return Effect.succeed([
          new KeepaliveGiven({ keepalive: new Keepalive({ until, ...(reason === undefined ? {} : { reason }) }) })
        ])
      })
      return shown(record)
    }).pipe(Effect.withSpan("Instances.keepAlive"))
})
