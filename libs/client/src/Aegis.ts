/**
 * The typed client: the daemon as an Effect service. One connection, made with the layer, closed with its scope.
 */
import { AegisRpcs } from "@aegis/contract"
import {
  type BackendVerdict,
  type DaemonStatus,
  DaemonUnreachable,
  type Instance,
  type InstanceId,
  type InstanceSpec,
  type NotFound,
  type RunEvent,
  type StartError,
  type StateConflict
} from "@aegis/domain"
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import WebSocket from "ws"
import { AegisHome } from "./Home.ts"

export class Aegis extends Context.Tag("@aegis/client/Aegis")<
  Aegis,
  {
    readonly status: Effect.Effect<DaemonStatus, DaemonUnreachable>
    /** Which backend is used and why; waits for the probe. */
    readonly backend: Effect.Effect<BackendVerdict, DaemonUnreachable>
    /** Creates an instance, follows it to its end, and removes it, also when the stream is interrupted. */
    readonly run: (spec: InstanceSpec) => Stream.Stream<RunEvent, StartError | DaemonUnreachable>
    /** Feeds an interactive instance's standard input; await each call before the next. */
    readonly writeStdin: (
      id: InstanceId,
      bytes: Uint8Array,
      end: boolean
    ) => Effect.Effect<void, NotFound | StateConflict | DaemonUnreachable>
    readonly list: Effect.Effect<ReadonlyArray<Instance>, DaemonUnreachable>
    readonly get: (target: string) => Effect.Effect<Instance, NotFound | DaemonUnreachable>
    /** Succeeds when nothing is left of the instance. */
    readonly remove: (target: string) => Effect.Effect<void, NotFound | DaemonUnreachable>
  }
>() {
  /** Over the socket of the `AegisHome`. Building it does not connect: the first call says whether the daemon is there. */
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Layer.suspend(() => protocol)), Layer.provideMerge(AegisHome.layer))
}

const make = Effect.gen(function* () {
  const rpc = yield* RpcClient.make(AegisRpcs)
  return Aegis.of({
    status: reach(rpc.Status()),
    backend: reach(rpc.Backend()),
    run: (spec) => rpc.Run(spec).pipe(Stream.catchAllCause((cause) => Stream.failCause(unreachable(cause)))),
    writeStdin: (id, bytes, end) => reach(rpc.WriteStdin({ id, bytes, end })),
    list: reach(rpc.InstanceList()),
    get: (target) => reach(rpc.InstanceGet({ target })),
    remove: (target) => reach(rpc.InstanceDelete({ target }))
  })
})

const protocol = Layer.unwrapEffect(
  Effect.map(AegisHome, ({ socket }) =>
    RpcClient.layerProtocolSocket().pipe(
      Layer.provide(Socket.layerWebSocket(`ws+unix://${socket}:/rpc`)),
      Layer.provide(
        Layer.succeed(Socket.WebSocketConstructor, (url, protocols) => {
          const options = { perMessageDeflate: false, maxPayload: 32 * 1024 * 1024, skipUTF8Validation: true }
          // `ws` follows the browser's interface as far as Effect's Socket uses it; its own type says so less exactly.
          return new WebSocket(url, protocols, options) as unknown as globalThis.WebSocket
        })
      ),
      Layer.provide(RpcSerialization.layerMsgPack)
    )
  )
)

const reach = <A, E>(
  effect: Effect.Effect<A, E | RpcClientError>
): Effect.Effect<A, Exclude<E, RpcClientError> | DaemonUnreachable> =>
  Effect.catchAllCause(effect, (cause) => Effect.failCause(unreachable(cause)))

/**
 * One error for the three ways in which a daemon that is not there shows itself: a transport error, a defect of the socket's
 * writer, and an interrupt from the other side (a local interrupt never comes here).
 */
const unreachable = <E>(
  cause: Cause.Cause<E | RpcClientError>
): Cause.Cause<Exclude<E, RpcClientError> | DaemonUnreachable> => {
  if (Cause.isInterruptedOnly(cause)) return Cause.fail(new DaemonUnreachable({ reason: "stopping", detail: "" }))
  const socketDefect = Chunk.findFirst(Cause.defects(cause), Socket.isSocketError)
  if (Option.isSome(socketDefect)) return Cause.fail(fromSocket(socketDefect.value))
  return Cause.flatMap(cause, (error) => Cause.fail(error)).pipe(Cause.map(ofCall))
}

const ofCall = <E>(error: E | RpcClientError): Exclude<E, RpcClientError> | DaemonUnreachable => {
  if (error instanceof RpcClientError) {
    return Socket.isSocketError(error.cause)
      ? fromSocket(error.cause)
      : new DaemonUnreachable({ reason: "lost", detail: error.message })
  }
  return error as Exclude<E, RpcClientError>
}

const fromSocket = (error: Socket.SocketError) =>
  new DaemonUnreachable({ reason: error.reason === "Open" ? "absent" : "lost", detail: error.message })
