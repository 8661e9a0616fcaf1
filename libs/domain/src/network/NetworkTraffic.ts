/**
 * What has passed through a guest's network since its VM began.
 */
import * as Schema from "effect/Schema"

/** Seen from the guest: it sends, and receives. Bytes count whole Ethernet frames, of which each is a packet. */
export const NetworkTraffic = Schema.Struct({
  sentBytes: Schema.NonNegativeInt,
  sentPackets: Schema.NonNegativeInt,
  receivedBytes: Schema.NonNegativeInt,
  receivedPackets: Schema.NonNegativeInt,
  /** TCP connections, UDP conversations and pings that were let through. */
  allowed: Schema.NonNegativeInt,
  /** Those that were not, names that were not looked up, and addresses that were taken out of answers. */
  refused: Schema.NonNegativeInt
})
export type NetworkTraffic = typeof NetworkTraffic.Type
