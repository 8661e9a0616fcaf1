/**
 * What another policy would have made of the flows that a guest's network has told of. Nothing is asked of anybody: a flow is judged by what
 * was written down of it, its name and its address then.
 */
import * as Schema from "effect/Schema"
import {
  type CompiledPolicy,
  type Decision,
  decideAddress,
  decideHostPort,
  decideName,
  flowDecider,
  hostAddresses,
  NetworkVerdict
} from "./NetworkDecision.ts"
import { RefusedFlow } from "./RefusedFlow.ts"

/** A flow and what became of it; several with the same destination count as one. */
export interface RecordedFlow {
  readonly verdict: NetworkVerdict
  readonly protocol: RefusedFlow["protocol"]
  readonly address?: string | undefined
  readonly port?: number | undefined
  readonly name?: string | undefined
  /** No policy would have let it pass. */
  readonly always?: boolean | undefined
  /** Of a refused one: why it was. */
  readonly why?: string | undefined
  readonly count: number
}

/** A flow that would have fared otherwise: what it would have been told, and why. */
export const ReplayedFlow = Schema.Struct({
  ...RefusedFlow.omit("always").fields,
  verdict: NetworkVerdict
})
export type ReplayedFlow = typeof ReplayedFlow.Type

/** What a candidate would have changed. */
export class NetworkReplay extends Schema.Class<NetworkReplay>("NetworkReplay")({
  /** How many recorded flows were judged, each as often as it happened. */
  judged: Schema.NonNegativeInt,
  /** How many could not be: their destination was not written down, since there were too many. */
  unnamed: Schema.NonNegativeInt,
  /** Those that it refuses in place of letting them through, and the other way round. */
  changed: Schema.Array(ReplayedFlow),
  /** How many destinations beside those, where they are too many. */
  more: Schema.NonNegativeInt
}) {}

/** The recorded flows that the policy would have treated otherwise, in their order. `isOwn` says whether an address is one of the host's. */
export const replayFlows = (
  policy: CompiledPolicy,
  flows: ReadonlyArray<RecordedFlow>,
  isOwn: (address: string) => boolean
): ReadonlyArray<ReplayedFlow> => {
  const decide = decider(policy, isOwn)
  return flows.flatMap((flow) => {
    const { why, verdict } = decide(flow)
    if (verdict === flow.verdict) return []
    const { address, count, name, port, protocol } = flow
    return [
      {
        protocol,
        ...(address === undefined ? {} : { address }),
        ...(port === undefined ? {} : { port }),
        ...(name === undefined ? {} : { name }),
        count,
        verdict,
        why
      }
    ]
  })
}

const decider = (policy: CompiledPolicy, isOwn: (address: string) => boolean) => {
  const decideFlow = flowDecider(policy)
  return ({ address, always, name, port = 0, protocol, why = "" }: RecordedFlow): Decision => {
    if (always === true) return { verdict: "refuse", why }
    const names = name === undefined ? [] : [name]
    if (address === undefined) return decideName(policy, name ?? "")
    if (hostAddresses.includes(address)) return decideHostPort(policy, port)
    // What was taken out of an answer was to be reached at any port.
    return protocol === "dns"
      ? decideAddress(policy, { address, names, own: isOwn(address) })
      : decideFlow({ address, port, names, own: isOwn(address) })
  }
}
