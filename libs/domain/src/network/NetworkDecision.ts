/**
 * What a policy says of one flow. The policy becomes a list of rules of which the first that fits decides; the same list is what
 * `aegis-net` goes by (`native-bridge/aegis-net/policy.go`), and one table of cases holds both.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { PortNumber } from "../Exposure.ts"
import { effectiveAddress, isInRange, readIpAddress, readIpRange } from "./IpAddress.ts"
import type { NetworkPolicy, NetworkRule } from "./NetworkPolicy.ts"
import { specialRanges } from "./SpecialRanges.ts"

/** The name under which a guest reaches its host's loopback. */
export const hostName = "host.aegis.internal"
/** The addresses that this name has there (`native-bridge/aegis-net/addresses.go`). */
export const hostAddresses: ReadonlyArray<string> = ["192.168.127.254", "fd7f:ae61:5::fe"]

export const NetworkVerdict = Schema.Literal("allow", "refuse")
export type NetworkVerdict = typeof NetworkVerdict.Type

/** One step of the list: exactly one of `range`, `name` and `own` says whom it is about; `own`: any address of the host itself. */
export const PolicyStep = Schema.Struct({
  verdict: NetworkVerdict,
  range: Schema.optional(Schema.String),
  name: Schema.optional(Schema.String),
  own: Schema.optional(Schema.Literal(true)),
  port: Schema.optional(PortNumber),
  why: Schema.String
})
export type PolicyStep = typeof PolicyStep.Type

/** What aegis-net is given. */
export const CompiledPolicy = Schema.Struct({
  steps: Schema.Array(PolicyStep),
  /** Where no step fits. */
  otherwise: Schema.Struct({ verdict: NetworkVerdict, why: Schema.String }),
  allHostPorts: Schema.Boolean,
  hostPorts: Schema.Array(PortNumber),
  /** Flows that are let through are told at their end. */
  log: Schema.optional(Schema.Literal(true))
})
export type CompiledPolicy = typeof CompiledPolicy.Type

const stepOf =
  (verdict: NetworkVerdict, flag: string) =>
  (rule: NetworkRule): PolicyStep => ({
    verdict,
    ...(rule._tag === "Name" ? { name: rule.name } : { range: rule.range }),
    ...(rule.port === undefined ? {} : { port: rule.port }),
    why: `${flag} ${rule._tag === "Name" ? rule.name : rule.range}${rule.port === undefined ? "" : `:${rule.port}`}`
  })

/**
 * The list: what is denied; the ranges that are allowed; what is not the public internet; the names that are allowed. So a name, whoever
 * answers for it, leads to public addresses only (DNS rebinding).
 */
export const compilePolicy = (policy: NetworkPolicy): CompiledPolicy => {
  const { allow, deny, hostPorts, log, profile } = policy
  const special = specialRanges.map(([range, what]): PolicyStep => ({ verdict: "refuse", range, why: what }))
  return {
    steps: [
      ...deny.map(stepOf("refuse", "--deny")),
      ...allow.filter(({ _tag }) => _tag === "Range").map(stepOf("allow", "--allow")),
      ...(profile === "all"
        ? []
        : [{ verdict: "refuse", own: true, why: "an address of the host itself" } as const, ...special]),
      ...allow.filter(({ _tag }) => _tag === "Name").map(stepOf("allow", "--allow"))
    ],
    otherwise: { verdict: profile === "none" ? "refuse" : "allow", why: `the profile ${profile}` },
    allHostPorts: profile === "all",
    hostPorts,
    ...(log ? { log } : {})
  }
}

/** A flow that a guest may begin. */
export interface Flow {
  /** In full; any other text is no address, and refused. */
  readonly address: string
  readonly port: number
  /** The names for which its DNS answers gave this address. */
  readonly names: ReadonlyArray<string>
  /** Whether it is one of the host's own addresses. */
  readonly own: boolean
}

export interface Decision {
  readonly verdict: NetworkVerdict
  readonly why: string
}

/** Where somebody wants to go from a guest. */
export class NetworkTarget extends Schema.Class<NetworkTarget>("NetworkTarget")({
  host: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(253)),
  port: PortNumber
}) {}

/** What a policy says of that. For a name: of each address that it has now. */
export class NetworkAnswer extends Schema.Class<NetworkAnswer>("NetworkAnswer")({
  verdict: NetworkVerdict,
  why: Schema.String,
  addresses: Schema.Array(Schema.Struct({ address: Schema.String, verdict: NetworkVerdict, why: Schema.String }))
}) {}

/** Whether a pattern of a rule means this name. */
export const matchesName = (pattern: string, name: string): boolean => {
  const plain = name.toLowerCase().replace(/\.$/, "")
  return pattern.startsWith("*.")
    ? plain.endsWith(pattern.slice(1)) && plain.length >= pattern.length
    : plain === pattern
}

const loopback = ["127.0.0.0/8", "::1", "::ffff:127.0.0.0/104"].flatMap((text) => Option.toArray(readIpRange(text)))

/** Whether an address is the guest itself to a guest: its kernel sends nothing there, whatever the policy says. */
export const isGuestLoopback = (address: string): boolean =>
  Option.exists(readIpAddress(address), (read) => loopback.some((range) => isInRange(range, read)))

const effectiveOf = (text: string) => Option.getOrUndefined(Option.map(readIpAddress(text), effectiveAddress))

/** What becomes of flows: reads the policy's ranges once, for as many flows as there are. */
export const flowDecider = ({ otherwise, steps }: CompiledPolicy): ((flow: Flow) => Decision) => {
  const read = steps.map((step) => ({
    step,
    range: step.range === undefined ? undefined : Option.getOrUndefined(readIpRange(step.range))
  }))
  return (flow) => {
    const address = effectiveOf(flow.address)
    if (address === undefined) return { verdict: "refuse", why: "no address" }
    const found = read.find(({ range, step: { name, own, port } }) => {
      if (port !== undefined && port !== flow.port) return false
      if (own === true) return flow.own
      if (range !== undefined) return isInRange(range, address)
      return name !== undefined && flow.names.some((one) => matchesName(name, one))
    })
    return found?.step ?? otherwise
  }
}

/** What becomes of a flow. */
export const decideFlow = (policy: CompiledPolicy, flow: Flow): Decision => flowDecider(policy)(flow)

/** Whether any port of an address may be reached: a refusal of one port says nothing of the others. */
export const decideAddress = (policy: CompiledPolicy, to: Omit<Flow, "port">): Decision => {
  const steps = policy.steps
    .filter(({ port, verdict }) => port === undefined || verdict === "allow")
    .map((step): PolicyStep => ({ ...step, port: undefined }))
  return decideFlow({ ...policy, steps }, { ...to, port: 0 })
}

/** Whether a port of the host's loopback is reached at `host.aegis.internal`. */
export const decideHostPort = ({ allHostPorts, hostPorts }: CompiledPolicy, port: number): Decision => {
  if (allHostPorts) return { verdict: "allow", why: "the profile all" }
  return hostPorts.includes(port)
    ? { verdict: "allow", why: `--allow-host ${port}` }
    : { verdict: "refuse", why: "a port of the host that was not allowed" }
}

/** Whether a name is looked up at all: where no port of it could be reached, nothing is asked about it (a lookup carries data, too). */
export const decideName = ({ otherwise, steps }: CompiledPolicy, name: string): Decision =>
  steps.find(
    (step) =>
      step.name !== undefined && matchesName(step.name, name) && (step.verdict === "allow" || step.port === undefined)
  ) ?? otherwise
