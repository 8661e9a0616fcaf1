/**
 * How a connection reaches a port of an instance's guest, whatever state the instance is in.
 */
import {
  type CrashLoop,
  type EventCause,
  type InstanceId,
  type NotFound,
  NotExposed,
  PortSilent,
  type StartError,
  StateConflict,
  TooManyConnections,
  WakeTimeout
} from "@aegis/domain"
import { type ChannelBroken, EarlyBytes, type HarnessRefused } from "@aegis/guest"
import type { ConnectOptions, KeptConnection, PortConnection } from "@aegis/router"
import type { Vm } from "@aegis/vm"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import type { Parts } from "./Parts.ts"
import type * as Pausing from "./Pausing.ts"

/** What a connection waits for an instance and its port altogether (S-201). */
const patience = Duration.seconds(30)

/** Connections that may wait for one instance to wake (T-166). */
const maxWaiting = 1024

export type ReachError =
  NotFound | NotExposed | CrashLoop | StartError | StateConflict | PortSilent | WakeTimeout | TooManyConnections

interface Reached {
  readonly port: number
  /** Nobody may reach the port any more. */
  cut: boolean
  stream?: Duplex
}

type WakeError = Effect.Effect.Error<ReturnType<ReturnType<typeof Pausing.make>["wake"]>>

export const make = (
  { endpointUses, idleTunnels, lifeOf, records, usage }: Parts,
  { wake }: ReturnType<typeof Pausing.make>
) => {
  /** The connections to each instance's ports, from before their tunnels are there. */
  const reached = new Map<InstanceId, Set<Reached>>()
  const waking = new Map<InstanceId, { readonly done: Deferred.Deferred<void, WakeError>; waiting: number }>()

  /** Many that come at once cause one wake. It goes on when those who wait have gone (T-167). */
  const wakeOnce = (id: InstanceId, name: string, cause: EventCause) =>
    Effect.gen(function* () {
      let entry = waking.get(id)
      if (entry === undefined) {
        const done = yield* Deferred.make<void, WakeError>()
        entry = { done, waiting: 0 }
        waking.set(id, entry)
        yield* Effect.forkDaemon(
          Effect.intoDeferred(Effect.asVoid(wake(id, cause)), done).pipe(
            Effect.ensuring(Effect.sync(() => waking.delete(id)))
          )
        )
      }
      if (entry.waiting >= maxWaiting) return yield* new TooManyConnections({ target: name })
      entry.waiting++
      yield* Deferred.await(entry.done)
    })

  /** The VM of an instance that runs, woken where it has to be and may. */
  const awake = (id: InstanceId, port: number, cause: EventCause, mayWake: boolean): Effect.Effect<Vm, ReachError> =>
    Effect.gen(function* () {
      const { handle, state } = yield* records.get(id)
      if (state === "paused" || state === "stopped") {
        if (!mayWake) {
          return yield* new StateConflict({ target: handle ?? id, state, remedy: "open it in a window of its own" })
        }
        if (!waking.has(id)) endpointUses.count(id, port, { wakes: 1 })
      }
      if (state !== "running") yield* wakeOnce(id, handle ?? id, cause)
      const life = lifeOf(id)
      if (Option.isSome(life) && (yield* records.get(id)).state === "running") return yield* life.value.running
      // It was stopped, or paused again, in the meantime: there is time until our patience ends.
      yield* Effect.sleep("50 millis")
      return yield* awake(id, port, cause, mayWake)
    })

  /** A guest that has just been started may not listen yet; one that has run for a while does or does not. */
  const dial = (
    id: InstanceId,
    name: string,
    vm: Vm,
    port: number,
    early: EarlyBytes | undefined
  ): Effect.Effect<Duplex, ChannelBroken | PortSilent | TooManyConnections> =>
    vm.guest.tunnel(port, early).pipe(
      Effect.catchTags({
        HarnessRefused: (refused) =>
          Effect.flatMap(isEarly(id, refused), (again): ReturnType<typeof dial> => {
            if (again) return Effect.delay(dial(id, name, vm, port, early), "50 millis")
            return refused.code === "too-many-tunnels"
              ? new TooManyConnections({ target: name })
              : new PortSilent({ target: name, port, reason: refused.message })
          }),
        GuestProtocolViolation: ({ message }) => new PortSilent({ target: name, port, reason: message })
      })
    )

  /** Whether it may yet accept. Where its queue is full, it will take us when it has taken those before us. */
  const isEarly = (id: InstanceId, { code }: HarnessRefused) =>
    code === "connect-refused" ? isFresh(id) : Effect.succeed(code === "connect-timeout")

  const isFresh = (id: InstanceId) =>
    Effect.gen(function* () {
      const { startedAt } = yield* records.get(id)
      const now = yield* Clock.currentTimeMillis
      return startedAt !== undefined && now - startedAt.epochMillis < Duration.toMillis(patience)
    }).pipe(Effect.orElseSucceed(() => false))

  /**
   * Connects to a port of the guest; the connection counts until the scope closes, from before its instance is woken (T-184). The stream
   * is reset where it has not ended by then.
   */
  const connect = (
    id: InstanceId,
    port: number,
    cause: EventCause,
    { client, mayWake = true }: ConnectOptions = {}
  ): Effect.Effect<PortConnection, ReachError, Scope.Scope> =>
    Effect.gen(function* () {
      const early = client === undefined ? undefined : new EarlyBytes(client)
      yield* usage.enter(id)
      const mine = yield* listed(id, port)
      const { handle, spec } = yield* records.get(id)
      const name = handle ?? id
      if (!spec.exposes.some((exposure) => exposure.port === port)) return yield* new NotExposed({ target: name, port })
      endpointUses.begin(id, handle, port)
      const attempt = Effect.flatMap(awake(id, port, cause, mayWake), (vm) =>
        idleTunnels.connection(id, port, Effect.interruptible(dial(id, name, vm, port, early)))
      )
      const broken = new PortSilent({ target: name, port, reason: "the guest went away" })
      const reach = Effect.catchTag(attempt, "ChannelBroken", () =>
        // It was ending just when we came: the next life is ours, unless this one may have heard what the client has said.
        early?.hasPassed === true
          ? broken
          : Option.match(lifeOf(id), { onNone: () => Effect.void, onSome: ({ over }) => Effect.asVoid(over) }).pipe(
              Effect.zipRight(Effect.catchTag(attempt, "ChannelBroken", () => broken))
            )
      )
      const connection = yield* Effect.timeoutFail(reach, {
        duration: patience,
        onTimeout: () => new WakeTimeout({ target: name, seconds: Duration.toSeconds(patience) })
      })
      if (mine.cut) return yield* new NotExposed({ target: name, port })
      mine.stream = connection.tunnel
      return connection
    })

  /** A connection over a tunnel that was kept, where there is one: its guest runs then, and the port is exposed. */
  const reuse = (id: InstanceId, port: number): KeptConnection | undefined => {
    const kept = idleTunnels.reuse(id, port)
    if (kept === undefined) return undefined
    const mine = enlist(id, { port, cut: false, stream: kept.tunnel })
    usage.come(id, "connections")
    endpointUses.count(id, port, { connections: 1 })
    const end = (whole: boolean) => {
      strike(id, mine)
      usage.go(id, "connections")
      kept.end(whole)
    }
    return { tunnel: kept.tunnel, end }
  }

  const enlist = (id: InstanceId, mine: Reached): Reached => {
    reached.set(id, (reached.get(id) ?? new Set()).add(mine))
    return mine
  }

  const strike = (id: InstanceId, mine: Reached) => {
    const all = reached.get(id)
    all?.delete(mine)
    if (all?.size === 0) reached.delete(id)
  }

  /** A connection's entry, until the scope closes. */
  const listed = (id: InstanceId, port: number) =>
    Effect.acquireRelease(
      Effect.sync(() => enlist(id, { port, cut: false })),
      (mine) => Effect.sync(() => strike(id, mine))
    )

  /** Resets the connections to a port, whichever way they came, and refuses those that are on their way to it. */
  const cutOff = (id: InstanceId, port: number) =>
    Effect.sync(() => {
      idleTunnels.drop(id, port)
      for (const one of reached.get(id) ?? []) {
        if (one.port !== port) continue
        one.cut = true
        one.stream?.destroy()
      }
    })

  return { connect, reuse, cutOff, count: endpointUses.count }
}
