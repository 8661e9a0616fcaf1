/**
 * What another policy would have made of the flows that the journal has of an instance.
 */
import {
  compilePolicy,
  type EventData,
  type JournalEvent,
  NetworkPolicy,
  NetworkReplay,
  type RecordedFlow,
  type ReplayedFlow,
  replayFlows
} from "@aegis/domain"
import { isOwnAddress } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** How many destinations are kept apart while the events are read, and how many that would have fared otherwise are named. */
const maxDestinations = 10_000
const maxNamed = 256
/** Judged in one go: a few milliseconds. */
const atOnce = 200

/** @param candidate absent: the policy that the instance has, or had last. */
export const replay = <E>(
  events: Stream.Stream<JournalEvent, E>,
  candidate: NetworkPolicy | undefined
): Effect.Effect<NetworkReplay, E> =>
  Effect.gen(function* () {
    const destinations = new Map<string, RecordedFlow>()
    let own = new NetworkPolicy({})
    let unnamed = 0
    const gather = (flow: RecordedFlow) => {
      const { address, always, name, port, protocol, verdict } = flow
      const key = [verdict, protocol, address, port, name, always].join(" ")
      const before = destinations.get(key)
      if (before === undefined && destinations.size >= maxDestinations) unnamed += flow.count
      else destinations.set(key, { ...flow, count: flow.count + (before?.count ?? 0) })
    }
    yield* Stream.runForEach(events, ({ data }) =>
      Effect.sync(() => {
        own = policyAfter(own, data)
        if (data._tag === "FlowsRefused") {
          for (const flow of data.flows) gather({ verdict: "refuse", ...flow })
          unnamed += data.more
        } else if (data._tag === "FlowsEnded") {
          for (const flow of data.flows) gather({ verdict: "allow", ...flow })
          unnamed += data.more?.count ?? 0
        }
      })
    )
    const flows = [...destinations.values()]
    const compiled = compilePolicy(candidate ?? own)
    const changed = yield* Effect.forEach(
      Array.from({ length: Math.ceil(flows.length / atOnce) }, (_, index) => index * atOnce),
      (at) =>
        Effect.zipRight(
          Effect.yieldNow(),
          Effect.sync(() => replayFlows(compiled, flows.slice(at, at + atOnce), isOwnAddress))
        )
    ).pipe(Effect.map((parts) => refusedFirst(parts.flat())))
    return new NetworkReplay({
      judged: flows.reduce((sum, { count }) => sum + count, 0),
      unnamed,
      changed: changed.slice(0, maxNamed),
      more: Math.max(0, changed.length - maxNamed)
    })
  }).pipe(Effect.withSpan("History.replay"))

/** What would have been broken is never among those that are too many. */
const refusedFirst = (flows: ReadonlyArray<ReplayedFlow>) => [
  ...flows.filter(({ verdict }) => verdict === "refuse"),
  ...flows.filter(({ verdict }) => verdict === "allow")
]

const policyAfter = (before: NetworkPolicy, data: EventData): NetworkPolicy => {
  if (data._tag === "InstanceCreated") return data.spec.network
  return data._tag === "NetworkChanged" ? data.policy : before
}
