/**
 * A network's policy as REST and MCP have it, the flags of the command line as fields; and what has passed.
 */
import {
  maxNetworkRules,
  NetworkPolicy,
  NetworkProfile,
  NetworkRuleText,
  type NetworkTraffic,
  PortNumber
} from "@aegis/domain"
import * as Schema from "effect/Schema"

const upTo = <A, I>(element: Schema.Schema<A, I>) =>
  Schema.optionalWith(Schema.Array(element).pipe(Schema.maxItems(maxNetworkRules)), { default: () => [] })

export const RestNetwork = Schema.Struct({
  /** `public`: the internet alone; `none`; `all`: whatever the host reaches. */
  profile: Schema.optionalWith(NetworkProfile, { default: () => "public" as const }),
  /** HOST, *.DOMAIN, ADDRESS or ADDRESS/BITS, each with :PORT or without. */
  allow: upTo(NetworkRuleText),
  deny: upTo(NetworkRuleText),
  /** Ports of the host's loopback, reached at host.aegis.internal. */
  allow_host: upTo(PortNumber),
  /** Whether flows that it lets through become events as well, each at its end. */
  log: Schema.optionalWith(Schema.Boolean, { default: () => false })
})
export type RestNetwork = typeof RestNetwork.Type

/** The policy that it means. */
export const networkPolicyOf = ({ allow, allow_host, deny, log, profile }: RestNetwork): NetworkPolicy =>
  new NetworkPolicy({ profile, allow, deny, hostPorts: allow_host, log })

/** The inverse. */
export const restNetwork = ({ allow, deny, hostPorts, log, profile }: NetworkPolicy): RestNetwork => ({
  profile,
  allow,
  deny,
  allow_host: hostPorts,
  log
})

/** Bytes and packets (Ethernet frames) that the guest sent and received, and how many flows were let through and refused. */
export const RestTraffic = Schema.Struct({
  sent_bytes: Schema.NonNegativeInt,
  sent_packets: Schema.NonNegativeInt,
  received_bytes: Schema.NonNegativeInt,
  received_packets: Schema.NonNegativeInt,
  flows_allowed: Schema.NonNegativeInt,
  flows_refused: Schema.NonNegativeInt
})
export type RestTraffic = typeof RestTraffic.Type

export const restTraffic = (traffic: NetworkTraffic): RestTraffic => ({
  sent_bytes: traffic.sentBytes,
  sent_packets: traffic.sentPackets,
  received_bytes: traffic.receivedBytes,
  received_packets: traffic.receivedPackets,
  flows_allowed: traffic.allowed,
  flows_refused: traffic.refused
})
