import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Writes a handler's defect to the daemon's log: the RPC server sends it to the client and says nothing itself. */
export class LogDefects extends RpcMiddleware.Tag<LogDefects>()("@aegis/runtime/LogDefects", { wrap: true }) {
  static readonly layer = Layer.succeed(this, ({ next, rpc }) =>
    Effect.tapErrorCause(next, (cause) =>
      Cause.isDie(cause) ? Effect.logError(`${rpc._tag} failed with a defect`, cause) : Effect.void
    )
  )
}
