import type { ChannelError, StdinWriter } from "@aegis/guest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/** Writes in the order of the calls, waiting while the guest's pipe is full; `end` closes it. */
export type StdinFeed = (bytes: Uint8Array, end: boolean) => Effect.Effect<void, ChannelError>

/** Standard input that is opened with the first write, once, and closed with the last one or with the scope. */
export const make = <E extends ChannelError>(
  open: Effect.Effect<StdinWriter, E, Scope.Scope>,
  scope: Scope.Scope
): Effect.Effect<StdinFeed> =>
  Effect.gen(function* () {
    const opened = yield* Effect.cached(
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope, { _tag: "Sequential" })
        return { write: yield* Scope.extend(open, own), close: Scope.close(own, Exit.void) }
      })
    )
    return (bytes, end) =>
      Effect.gen(function* () {
        const { close, write } = yield* opened
        if (bytes.length > 0) yield* write(bytes)
        if (end) yield* close
      })
  })
