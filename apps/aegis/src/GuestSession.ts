/**
 * A command in a guest, as its caller has it: its events followed to their end, our standard input passed on.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InputFailed } from "./Errors.ts"
import { type OutputError, Stdio } from "./Stdio.ts"

/** Takes the next piece of standard input; `end` closes it. */
export type InputWriter = (bytes: Uint8Array, end: boolean) => Effect.Effect<void, unknown>

export interface Following<Event, E> {
  readonly events: Stream.Stream<Event, E>
  /** Called in order; `feed` begins to pass our standard input on. */
  readonly onEvent: (
    event: Event,
    feed: (write: InputWriter) => Effect.Effect<void>
  ) => Effect.Effect<void, OutputError>
}

/** Succeeds at the end of the events. What is fed stops with the scope. */
export const followGuest = <Event, E>({
  events,
  onEvent
}: Following<Event, E>): Effect.Effect<void, E | OutputError | InputFailed, Stdio | Scope.Scope> =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const scope = yield* Effect.scope
    const inputFailed = yield* Deferred.make<never, InputFailed>()
    // RPC has no upload streams: one call after the other keeps the bytes in order.
    const feed = (write: InputWriter) =>
      Stream.runForEach(stdio.input, (bytes) => write(bytes, false)).pipe(
        Effect.zipRight(write(new Uint8Array(), true)),
        Effect.catchIf(
          (error) => error instanceof InputFailed,
          (error) => Deferred.fail(inputFailed, error)
        ),
        // The command has ended, or the daemon: the followed stream says which.
        Effect.ignore,
        Effect.forkIn(scope),
        Effect.asVoid
      )
    yield* Effect.raceFirst(
      Stream.runForEach(events, (event) => onEvent(event, feed)),
      Deferred.await(inputFailed)
    )
  })
