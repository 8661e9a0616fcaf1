/**
 * A connection to the daemon: made by the first call, kept for the next ones, and made anew by the first call after it broke. A call
 * that was under way then fails and is never repeated: it may have had its effect.
 */
import { programHeaders, rpcPath } from "@aegis/contract"
import type { ProgramName } from "@aegis/domain"
import * as Headers from "@effect/platform/Headers"
import * as Socket from "@effect/platform/Socket"
import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import WebSocket from "ws"

export type Client<Calls extends Rpc.Any> = RpcClient.RpcClient<Calls, RpcClientError>

interface Connection<Calls extends Rpc.Any> {
  readonly rpc: Client<Calls>
  readonly isBroken: () => boolean
}

export interface ConnectorOptions {
  /** The daemon's. */
  readonly socket: string
  /** In whose name calls are made that name nobody else. */
  readonly program: Option.Option<ProgramName>
}

/** Gives the connection for the calls of a group, which is loaded with the first of them. What it makes is closed with the scope. */
export const connector = <Calls extends Rpc.Any>(
  load: () => Promise<RpcGroup.RpcGroup<Calls>>,
  options: ConnectorOptions
): Effect.Effect<Effect.Effect<Client<Calls>>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const alone = yield* Effect.makeSemaphore(1)
    let current: Connection<Calls> | undefined
    const connected = Effect.suspend(() =>
      current === undefined || current.isBroken()
        ? Effect.tap(connect(load, options, outer), (connection) => Effect.sync(() => (current = connection)))
        : Effect.succeed(current)
    )
    return Effect.map(alone.withPermits(1)(Effect.uninterruptible(connected)), ({ rpc }) => rpc)
  })

/** Does not wait for the daemon: that it is not there is what the first call fails with. */
const connect = <Calls extends Rpc.Any>(
  load: () => Promise<RpcGroup.RpcGroup<Calls>>,
  { program, socket }: ConnectorOptions,
  outer: Scope.Scope
): Effect.Effect<Connection<Calls>> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
    const ended = yield* Deferred.make<void>()
    let broken = false
    const { run, send, ...protocol } = yield* socketProtocol(socket).pipe(Scope.extend(scope))
    const usual = Object.entries(Option.match(program, { onNone: () => Headers.empty, onSome: programHeaders }))
    const watched = RpcClient.Protocol.of({
      ...protocol,
      // The last of a name counts: what the call itself says stands behind.
      send: (message, transferables) =>
        send(
          message._tag === "Request" ? { ...message, headers: [...usual, ...message.headers] } : message,
          transferables
        ),
      run: (respond) =>
        run((response) => {
          if (response._tag !== "ClientProtocolError") return respond(response)
          // Set first, so that whoever is told of it and calls again gets a new one; closed only when all calls know.
          broken = true
          return Effect.zipRight(respond(response), Deferred.succeed(ended, undefined))
        })
    })
    const rpc = yield* RpcClient.make(yield* Effect.promise(load)).pipe(
      Effect.provideService(RpcClient.Protocol, watched),
      Scope.extend(scope)
    )
    yield* Deferred.await(ended).pipe(
      Effect.zipRight(Scope.close(scope, Exit.void)),
      Effect.interruptible,
      Effect.forkIn(outer)
    )
    return { rpc, isBroken: () => broken }
  })

const socketProtocol = (path: string): Effect.Effect<Context.Tag.Service<RpcClient.Protocol>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = yield* Socket.makeWebSocket(`ws+unix://${path}:${rpcPath}`)
    return yield* RpcClient.makeProtocolSocket({ retrySchedule: Schedule.stop }).pipe(
      Effect.provideService(Socket.Socket, socket)
    )
  }).pipe(
    Effect.provide(RpcSerialization.layerMsgPack),
    Effect.provideService(Socket.WebSocketConstructor, (url, protocols) => {
      const options = { perMessageDeflate: false, maxPayload: 32 * 1024 * 1024, skipUTF8Validation: true }
      // `ws` follows the browser's interface as far as Effect's Socket uses it; its own type says so less exactly.
      return new WebSocket(url, protocols, options) as unknown as globalThis.WebSocket
    })
  )
