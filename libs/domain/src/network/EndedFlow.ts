/**
 * What a guest's network let through, told when it is over.
 */
import * as Schema from "effect/Schema"
import { NetworkCrash } from "./NetworkCrash.ts"
import { maxNamedFlows, RefusedFlow } from "./RefusedFlow.ts"

/**
 * A flow that was let through and is over; or, with the protocol `dns` and no address, a name that was looked up. In a flood several with the same destination are told as one: then the bytes are those of all, and
 * the time is that of the longest.
 */
export const EndedFlow = Schema.Struct({
  protocol: Schema.Literal("tcp", "udp", "icmp", "dns"),
  address: Schema.optional(Schema.String.pipe(Schema.maxLength(64))),
  port: Schema.optional(Schema.Int),
  /** A name for which the guest was given the address: that by which it was let through, if it was by one. */
  name: Schema.optional(Schema.String.pipe(Schema.maxLength(1024))),
  /** What the guest sent and received within it. */
  sentBytes: Schema.NonNegativeInt,
  receivedBytes: Schema.NonNegativeInt,
  /** How long it was open, in milliseconds; a UDP conversation counts until it was given up. */
  millis: Schema.NonNegativeInt,
  /** How many they were. */
  count: Schema.Int
})
export type EndedFlow = typeof EndedFlow.Type

/** Flows that are over and were too many to be named. */
export const UnnamedFlows = Schema.Struct({
  count: Schema.NonNegativeInt,
  sentBytes: Schema.NonNegativeInt,
  receivedBytes: Schema.NonNegativeInt
})
export type UnnamedFlows = typeof UnnamedFlows.Type

/** What happened since the report before; `more` is how many refusals beside those that are named. */
export const NetworkReport = Schema.Struct({
  refused: Schema.Array(RefusedFlow).pipe(Schema.maxItems(maxNamedFlows)),
  more: Schema.Int,
  ended: Schema.optionalWith(Schema.Array(EndedFlow).pipe(Schema.maxItems(maxNamedFlows)), { default: () => [] }),
  endedMore: Schema.optional(UnnamedFlows),
  /** Networks before this one have crashed. */
  crash: Schema.optional(NetworkCrash)
})
export type NetworkReport = typeof NetworkReport.Type
