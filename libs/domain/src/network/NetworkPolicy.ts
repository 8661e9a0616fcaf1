/**
 * What a guest's network lets through: a profile, and rules that widen or narrow it.
 */
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { PortNumber } from "../Exposure.ts"
import { readIpRange, writeIpRange } from "./IpAddress.ts"

/**
 * `public`: the internet, and nothing of the host, of its private networks or of its cloud. `none`: nothing. `all`: whatever the host
 * reaches, itself included.
 */
export const NetworkProfile = Schema.Literal("public", "none", "all")
export type NetworkProfile = typeof NetworkProfile.Type

const maxNameLength = 253

/** A DNS name in lower case without its last dot; `*.` before it means every name below it. One that ends in a number is an address misspelt. */
export const HostPattern = Schema.String.pipe(
  Schema.maxLength(maxNameLength, { message: () => `a name has at most ${maxNameLength} characters` }),
  Schema.pattern(/^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
    message: () => "it is no name of a host"
  }),
  Schema.filter((name) =>
    /(^|\.)(0x[0-9a-f]*|[0-9]+)$/.test(name)
      ? "it is no name, and no address that is written in full, such as 10.0.0.1"
      : undefined
  )
)

/** `ADDRESS/BITS` in the one form that it has. */
export const IpRangeText = Schema.String.pipe(
  Schema.filter((text) =>
    Option.exists(readIpRange(text), (range) => writeIpRange(range) === text)
      ? undefined
      : "it is no range of addresses, such as 10.0.0.0/8"
  )
)

/** Hosts by name. */
export class NamedHosts extends Schema.TaggedClass<NamedHosts>()("Name", {
  name: HostPattern,
  port: Schema.optional(PortNumber)
}) {}
/** Hosts by address. */
export class AddressRange extends Schema.TaggedClass<AddressRange>()("Range", {
  range: IpRangeText,
  port: Schema.optional(PortNumber)
}) {}

/** To whom a rule applies; without a port to all of theirs. */
export const NetworkRule = Schema.Union(NamedHosts, AddressRange)
export type NetworkRule = typeof NetworkRule.Type

const form =
  "a rule is HOST, *.DOMAIN, ADDRESS or ADDRESS/BITS, and then :PORT or nothing, such as example.com:443 or 10.1.0.0/16; [2001:db8::1]:443 for IPv6"

const portOf = (text: string | undefined) => (text === undefined ? {} : { port: Number(text) })

const readRule = (text: string) => {
  const bracketed = /^\[([^\]]*)\](?::([1-9][0-9]{0,4}))?$/.exec(text)
  // More than one colon is an IPv6 address, which has no port without brackets.
  const plain = /^([^:]*)(?::([1-9][0-9]{0,4}))?$/.exec(text) ?? [text, text]
  const [, host = "", port] = bracketed ?? plain
  const range = Option.getOrUndefined(readIpRange(host))
  if (range !== undefined && (bracketed === null || range.base.family === 6)) {
    return { _tag: "Range", range: writeIpRange(range), ...portOf(port) }
  }
  return { _tag: "Name", name: bracketed === null ? host.toLowerCase().replace(/\.$/, "") : "", ...portOf(port) }
}

/** As `--allow` and `--deny` take it. */
export const NetworkRuleText = Schema.transformOrFail(Schema.String, Schema.typeSchema(NetworkRule), {
  strict: true,
  decode: (text, _, ast) =>
    ParseResult.mapError(
      ParseResult.decodeUnknown(NetworkRule)(readRule(text)),
      () => new ParseResult.Type(ast, text, form)
    ),
  encode: (rule) => ParseResult.succeed(networkRuleText(rule))
}).annotations({ identifier: "NetworkRuleText", description: form })

/** The inverse of reading it. */
export const networkRuleText = (rule: NetworkRule): string => {
  const port = rule.port === undefined ? "" : `:${rule.port}`
  if (rule._tag === "Name") return `${rule.name}${port}`
  const whole = rule.range.replace(rule.range.includes(":") ? /\/128$/ : /\/32$/, "")
  return whole.includes(":") && port !== "" ? `[${whole}]${port}` : `${whole}${port}`
}

/** The most rules of one kind, and ports, that a policy has. */
export const maxNetworkRules = 256

const Rules = Schema.Array(NetworkRule).pipe(
  Schema.maxItems(maxNetworkRules, { message: () => `at most ${maxNetworkRules} rules can be given` })
)

/** A rule that refuses wins over one that allows, and both over the profile. */
export class NetworkPolicy extends Schema.Class<NetworkPolicy>("NetworkPolicy")({
  profile: Schema.optionalWith(NetworkProfile, { default: () => "public" as const }),
  allow: Schema.optionalWith(Rules, { default: () => [] }),
  deny: Schema.optionalWith(Rules, { default: () => [] }),
  /** Ports of the host's loopback, reached at `host.aegis.internal`. */
  hostPorts: Schema.optionalWith(Schema.Array(PortNumber).pipe(Schema.maxItems(maxNetworkRules)), {
    default: () => []
  }),
  /** Whether what is let through is told as well. */
  log: Schema.optionalWith(Schema.Boolean, { default: () => false })
}) {}

/** The policy as the flags that make it. */
export const networkPolicyText = ({ allow, deny, hostPorts, log, profile }: NetworkPolicy): string =>
  [
    profile,
    ...allow.map((rule) => `--allow ${networkRuleText(rule)}`),
    ...deny.map((rule) => `--deny ${networkRuleText(rule)}`),
    ...hostPorts.map((port) => `--allow-host ${port}`),
    ...(log ? ["--network-log"] : [])
  ].join(" ")

/** Whether nothing at all passes: such a guest has no network device. */
export const isUnreachable = ({ allow, hostPorts, profile }: NetworkPolicy): boolean =>
  profile === "none" && allow.length === 0 && hostPorts.length === 0
