/**
 * The networks of guests that run: what they refuse, and let through, is written down, and their policy can be changed.
 */
import {
  ByDaemon,
  ByGuest,
  compilePolicy,
  decideFlow,
  decideHostPort,
  decideName,
  type EventCause,
  FlowsEnded,
  FlowsRefused,
  hostName,
  isGuestLoopback,
  type InstanceId,
  type InstanceSpec,
  NetworkAnswer,
  NetworkChanged,
  NetworkCrashed,
  type NetworkPolicy,
  networkPolicyText,
  type NetworkReport,
  type NetworkTarget,
  type NetworkTraffic,
  StateConflict
} from "@aegis/domain"
import { isOwnAddress } from "@aegis/host"
import type { InstanceRecords } from "@aegis/journal"
import { NetworkControl, type Vm } from "@aegis/vm"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as dns from "node:dns/promises"
import { isIP } from "node:net"
import type { Life } from "./Life.ts"
import { measure } from "./NetworkMetrics.ts"
import type { Parts } from "./Parts.ts"

type Records = Context.Tag.Service<typeof InstanceRecords>

/** What the end of a VM may take to hear its network's last words. */
const lastWords = "1 second"

/** Writes down what a VM's network tells, as long as the scope is open, and at its end what it has not told yet. */
export const recordFlows = (records: Records, id: InstanceId, { network }: Vm) =>
  network === undefined
    ? Effect.void
    : Effect.acquireRelease(
        NetworkControl.reports(network.controlSocket).pipe(
          Stream.runForEach((report) => {
            const events = eventsOf(report)
            return Effect.zipRight(
              recordCrash(records, id, report),
              Effect.when(records.update(id, new ByGuest(), events), () => events.length > 0)
            )
          }),
          Effect.catchAll((error) => Effect.logWarning(`what the network of ${id} tells is lost: ${error.message}`)),
          Effect.interruptible,
          Effect.forkDaemon
        ),
        (reader) =>
          // A network whose VM has gone is about to end by itself, and tells the same.
          Effect.ignore(NetworkControl.end(network.controlSocket)).pipe(
            Effect.zipRight(Fiber.await(reader)),
            // A timeout interrupts, so what it bounds must be interruptible, also here.
            Effect.interruptible,
            Effect.timeoutOption(lastWords),
            Effect.zipRight(Fiber.interrupt(reader))
          )
      ).pipe(Effect.zipRight(measure(network.controlSocket)))

/** Nobody has asked for it, so it is the daemon that tells. */
const recordCrash = (records: Records, id: InstanceId, { crash }: NetworkReport) =>
  crash === undefined
    ? Effect.void
    : Effect.zipRight(
        Effect.logWarning(
          `the network of ${id} crashed ${crash.count} times (${crash.why})${crash.down === true ? " and stays down" : ""}`
        ),
        records.update(id, new ByDaemon({ because: "aegis-net ended" }), [new NetworkCrashed(crash)])
      )

const eventsOf = ({ ended, endedMore, more, refused }: NetworkReport) => [
  ...(refused.length === 0 ? [] : [new FlowsRefused({ flows: refused, more })]),
  ...(ended.length === 0
    ? []
    : [new FlowsEnded({ flows: ended, ...(endedMore === undefined ? {} : { more: endedMore }) })])
]

/** What has passed through the network of one that runs, where that can be said at once. */
export const trafficOf = (life: Life): Effect.Effect<NetworkTraffic | undefined> =>
  Effect.gen(function* () {
    if (!(yield* life.isRunning)) return undefined
    const { network } = yield* life.running
    return network === undefined ? undefined : yield* NetworkControl.traffic(network.controlSocket)
  }).pipe(Effect.orElseSucceed(() => undefined))

/** Puts into effect what was asked for while its VM was being made with the policy of `spec`. */
export const applyChange = (records: Records, id: InstanceId, spec: InstanceSpec, { network }: Vm) =>
  Effect.gen(function* () {
    if (network === undefined) return
    const { spec: now } = yield* records.get(id)
    if (networkPolicyText(now.network) === networkPolicyText(spec.network)) return
    yield* NetworkControl.setPolicy(network.controlSocket, compilePolicy(now.network))
  }).pipe(
    Effect.catchAll((error) => Effect.logWarning(`the network of ${id} keeps its first policy: ${error.message}`))
  )

/** Where a name or an address would lead, judged by a policy as the guest's network would. */
export const checkPolicy = (policy: NetworkPolicy, { host, port }: NetworkTarget): Effect.Effect<NetworkAnswer> =>
  Effect.gen(function* () {
    const compiled = compilePolicy(policy)
    const name = host.toLowerCase().replace(/\.$/, "")
    if (name === hostName) return new NetworkAnswer({ ...decideHostPort(compiled, port), addresses: [] })
    const judge = (address: string, names: ReadonlyArray<string>) => ({
      address,
      ...decideFlow(compiled, { address, port, names, own: isOwnAddress(address) })
    })
    if (isGuestLoopback(host)) {
      return new NetworkAnswer({
        verdict: "refuse",
        why: `the guest's own loopback, whatever the policy says; its host's is ${hostName}`,
        addresses: []
      })
    }
    if (isIP(host) !== 0) {
      const { verdict, why } = judge(host, [])
      return new NetworkAnswer({ verdict, why, addresses: [] })
    }
    const lookup = decideName(compiled, name)
    if (lookup.verdict === "refuse") {
      return new NetworkAnswer({ verdict: "refuse", why: `the name is not looked up: ${lookup.why}`, addresses: [] })
    }
    const addresses = (yield* addressesOf(name)).map((address) => judge(address, [name]))
    const reached = addresses.find(({ verdict }) => verdict === "allow")
    const { verdict, why } = reached ?? addresses[0] ?? { verdict: "refuse" as const, why: "the name has no address" }
    return new NetworkAnswer({ verdict, why, addresses })
  })

const addressesOf = (name: string) =>
  Effect.map(
    Effect.all(
      [
        Effect.promise(() => dns.resolve4(name).catch(() => [])),
        Effect.promise(() => dns.resolve6(name).catch(() => []))
      ],
      { concurrency: 2 }
    ),
    (found) => found.flat()
  )

/** @param parts the runtime's. */
export const make = ({ lifeOf, lock, records, shown }: Parts) => ({
  /** Written down first: a daemon that dies in between puts it into effect when it comes back. */
  setNetwork: (target: string, policy: NetworkPolicy, cause: EventCause) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      return yield* lock(id)(
        Effect.gen(function* () {
          const record = yield* records.update(id, cause, [new NetworkChanged({ policy })])
          const life = lifeOf(id)
          // A start that is under way looks at the record again when it has been written down (`applyChange`).
          if (Option.isNone(life) || record.state === "starting") return shown(record)
          const vm = yield* Effect.option(life.value.running)
          if (Option.isNone(vm) || vm.value.network === undefined) return shown(record)
          yield* Effect.interruptible(
            NetworkControl.setPolicy(vm.value.network.controlSocket, compilePolicy(policy))
          ).pipe(
            Effect.mapError(
              ({ message }) =>
                new StateConflict({
                  target: record.handle ?? id,
                  state: `${record.state}, and its network does not take the policy (${message})`,
                  remedy: `aegis instance stop ${record.handle ?? id}, then start it again: it has the policy from then on`
                })
            )
          )
          return shown(record)
        })
      )
    }).pipe(Effect.uninterruptible, Effect.withSpan("Instances.setNetwork")),
  checkNetwork: (target: string, to: NetworkTarget, candidate: NetworkPolicy | undefined) =>
    Effect.flatMap(records.get(target), ({ spec }) => checkPolicy(candidate ?? spec.network, to))
})
