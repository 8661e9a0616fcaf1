/**
 * Calls over a connection, whose only failure besides their own is `DaemonUnreachable`.
 */
import { DaemonUnreachable, version } from "@aegis/domain"
import * as Socket from "@effect/platform/Socket"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"

export const calls = <Rpc>(connection: Effect.Effect<Rpc>) => ({
  reach: <A, E>(
    call: (rpc: Rpc) => Effect.Effect<A, E | RpcClientError>
  ): Effect.Effect<A, Exclude<E, RpcClientError> | DaemonUnreachable> =>
    Effect.flatMap(connection, (rpc) =>
      Effect.catchAllCause(call(rpc), (cause) => Effect.failCause(unreachable(cause)))
    ),
  reachAll: <A, E>(
    call: (rpc: Rpc) => Stream.Stream<A, E | RpcClientError>
  ): Stream.Stream<A, Exclude<E, RpcClientError> | DaemonUnreachable> =>
    Stream.unwrap(
      Effect.map(connection, (rpc) => Stream.catchAllCause(call(rpc), (cause) => Stream.failCause(unreachable(cause))))
    )
})

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

const fromSocket = (error: Socket.SocketError) => {
  if (error.reason !== "Open") return new DaemonUnreachable({ reason: "lost", detail: error.message })
  return isOtherVersion(error.cause)
    ? new DaemonUnreachable({ reason: "skewed", detail: version })
    : new DaemonUnreachable({ reason: "absent", detail: error.message })
}

/** Somebody answers there and does not know our version's path: `ws` says it in words alone. */
const isOtherVersion = (cause: unknown) =>
  Predicate.hasProperty(cause, "message") && cause.message === "Unexpected server response: 404"
