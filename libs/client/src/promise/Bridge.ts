/**
 * From Effects to promises and async iterables: a failure is thrown as the tagged error that it is, an abort as its signal's reason.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { setMaxListeners } from "node:events"

export interface Abortable {
  /** Aborting it ends the call, and in the daemon what the call alone keeps alive. */
  readonly signal?: AbortSignal | undefined
}

export interface Bridge<R> {
  readonly promise: <A, E>(effect: Effect.Effect<A, E, R>, options?: Abortable) => Promise<A>
  /** Begins with the first `next`, and ends when a `for await` is left. */
  readonly iterable: <A, E>(stream: Stream.Stream<A, E, R>, options?: Abortable) => AsyncIterable<A>
  /** Aborts everything that is under way, and gives back what the runtime holds. */
  readonly close: () => Promise<void>
}

export const bridge = <R, ER>(runtime: ManagedRuntime.ManagedRuntime<R, ER>): Bridge<R> => {
  const closing = new AbortController()
  // Each call that is under way listens to it: many at once are no leak that Node should warn of.
  setMaxListeners(0, closing.signal)
  const signalOf = ({ signal }: Abortable) =>
    signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])
  return {
    promise: async (effect, options = {}) => {
      const signal = signalOf(options)
      signal.throwIfAborted()
      const exit = await runtime.runPromiseExit(effect, { signal })
      if (Exit.isSuccess(exit)) return exit.value
      throw signal.aborted && Cause.isInterruptedOnly(exit.cause) ? signal.reason : Cause.squash(exit.cause)
    },
    iterable: (stream, options = {}) => {
      const provided = Stream.unwrap(
        Effect.map(runtime.runtimeEffect, ({ context }) => Stream.provideContext(stream, context))
      )
      return Stream.toAsyncIterable(Stream.interruptWhen(provided, aborted(signalOf(options))))
    },
    close: async () => {
      closing.abort(new Error("this client has been closed"))
      await runtime.dispose()
    }
  }
}

/** Dies with the signal's reason, so that the reader is thrown exactly that. */
const aborted = (signal: AbortSignal) =>
  Effect.async<never>((resume) => {
    const abort = () => resume(Effect.die(signal.reason))
    if (signal.aborted) return abort()
    signal.addEventListener("abort", abort, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", abort))
  })
