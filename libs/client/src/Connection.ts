/**
 * The connection to the daemon: made by the first call, kept for the next ones, and made anew by the first call after it broke. A call
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

export interface ConnectorOptions {
  /** The daemon's. */
  readonly socket: string
  /** In whose name calls are made that name nobody else. */
  readonly program: Option.Option<ProgramName>
}

type Protocol = Context.Tag.Service<RpcClient.Protocol>
type Respond = Parameters<Protocol["run"]>[0]

interface Part {
  respond: Respond
}

interface Connection {
  /** A protocol for the client of one part of the calls. */
  readonly part: Effect.Effect<Protocol>
  readonly isBroken: () => boolean
  readonly scope: Scope.Scope
}

/**
 * Gives the client of a group of calls over the connection to the daemon, which all groups share. The group is loaded with the first of its
 * calls. What is made is closed with the scope.
 */
export const connector = (options: ConnectorOptions) =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const alone = yield* Effect.makeSemaphore(1)
    let current: Connection | undefined
    const connected = Effect.suspend(() =>
      current === undefined || current.isBroken()
        ? Effect.tap(connect(options, outer), (connection) => Effect.sync(() => (current = connection)))
        : Effect.succeed(current)
    )
    return <Calls extends Rpc.Any>(load: () => Promise<RpcGroup.RpcGroup<Calls>>): Effect.Effect<Client<Calls>> => {
      let group: RpcGroup.RpcGroup<Calls> | undefined
      let made: { readonly over: Connection; readonly client: Client<Calls> } | undefined
      const client = Effect.gen(function* () {
        // First: nothing may come between a connection that is whole and its client's listening to it.
        group ??= yield* Effect.promise(load)
        const over = yield* connected
        if (made?.over === over) return made.client
        const client = yield* RpcClient.make(group).pipe(
          Effect.provideServiceEffect(RpcClient.Protocol, over.part),
          Scope.extend(over.scope)
        )
        made = { over, client }
        return client
      })
      return alone.withPermits(1)(Effect.uninterruptible(client))
    }
  })

/** Does not wait for the daemon: that it is not there is what the first call fails with. */
const connect = ({ program, socket }: ConnectorOptions, outer: Scope.Scope): Effect.Effect<Connection> =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
    const ended = yield* Deferred.make<void>()
    let broken = false
    const { run, send, ...protocol } = yield* socketProtocol(socket).pipe(Scope.extend(scope))
    const usual = Object.entries(Option.match(program, { onNone: () => Headers.empty, onSome: programHeaders }))
    const parts = new Set<Part>()
    /** Whose the calls under way are; the library gives no number twice in a process. */
    const callers = new Map<string, Part>()
    const toAll = (response: Parameters<Respond>[0]) =>
      Effect.forEach(parts, ({ respond }) => respond(response), { discard: true })
    const dispatch: Respond = (response) => {
      switch (response._tag) {
        case "ClientProtocolError":
          // Set first, so that whoever is told of it and calls again gets a new one; closed only when all calls know.
          broken = true
          return Effect.zipRight(toAll(response), Deferred.succeed(ended, undefined))
        case "Chunk":
        case "Exit": {
          const caller = callers.get(response.requestId)
          if (response._tag === "Exit") callers.delete(response.requestId)
          return caller === undefined ? Effect.void : caller.respond(response)
        }
        default:
          return toAll(response)
      }
    }
    const part = Effect.sync(() => {
      // Its client begins to listen a moment after it was made.
      const early: Array<Parameters<Respond>[0]> = []
      const own: Part = { respond: (response) => Effect.sync(() => void early.push(response)) }
      parts.add(own)
      return RpcClient.Protocol.of({
        ...protocol,
        // The last of a name counts: what the call itself says stands behind.
        send: (message, transferables) => {
          if (message._tag !== "Request") return send(message, transferables)
          callers.set(message.id, own)
          return send({ ...message, headers: [...usual, ...message.headers] }, transferables)
        },
        run: (respond) => {
          own.respond = respond
          return Effect.zipRight(Effect.forEach(early, respond), Effect.never)
        }
      })
    })
    yield* run(dispatch).pipe(Effect.interruptible, Effect.forkIn(scope))
    // What has begun to close is closed to its end.
    yield* Effect.interruptible(Deferred.await(ended)).pipe(
      Effect.zipRight(Scope.close(scope, Exit.void)),
      Effect.uninterruptible,
      Effect.forkIn(outer)
    )
    return { part, scope, isBroken: () => broken }
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
