/**
 * A lease that keeps an instance from being paused and stopped for idling.
 */
import * as Schema from "effect/Schema"

/** A day: what has to stay longer is told so at its start (`--idle-pause 0`). */
export const maxKeepaliveSeconds = 24 * 3600

export const KeepaliveSeconds = Schema.Int.pipe(
  Schema.between(0, maxKeepaliveSeconds, { message: () => "a keepalive is of 0 to 86400 seconds (24h), in whole ones" })
)

/** Why, in the words of who asks. */
export const KeepaliveReason = Schema.String.pipe(
  Schema.minLength(1, { message: () => "the reason is empty" }),
  Schema.maxLength(200, { message: () => "the reason has at most 200 characters" })
)

/** What is asked for: from now on for so long, in place of one that holds; for 0 s, its end. */
export class KeepaliveRequest extends Schema.Class<KeepaliveRequest>("KeepaliveRequest")({
  seconds: KeepaliveSeconds,
  reason: Schema.optional(KeepaliveReason)
}) {}

/** One that was given. */
export class Keepalive extends Schema.Class<Keepalive>("Keepalive")({
  until: Schema.DateTimeUtc,
  reason: Schema.optional(Schema.String)
}) {}
