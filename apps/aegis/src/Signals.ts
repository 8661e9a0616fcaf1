/**
 * The signals that ask this program to end.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import { Interrupted } from "./Errors.ts"
import { type EndingSignal, endingSignals, signalExitCode } from "./ExitCode.ts"

export class Signals extends Context.Tag("@aegis/app-aegis/Signals")<
  Signals,
  {
    /** Succeeds with the first one. A second one ends the process at once; the daemon cleans up after it (T-17). */
    readonly first: Effect.Effect<EndingSignal>
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.gen(function* () {
      const first = Deferred.unsafeMake<EndingSignal>(FiberId.none)
      let seen = false
      const handlers = endingSignals.map((signal) => {
        const onSignal = () => {
          if (seen) process.exit(signalExitCode(signal))
          seen = true
          Deferred.unsafeDone(first, Effect.succeed(signal))
        }
        return { signal, onSignal }
      })
      yield* Effect.acquireRelease(
        Effect.sync(() => handlers.forEach(({ onSignal, signal }) => process.on(signal, onSignal))),
        () => Effect.sync(() => handlers.forEach(({ onSignal, signal }) => process.off(signal, onSignal)))
      )
      return Signals.of({ first: Deferred.await(first) })
    })
  )
}

/** Runs an effect that the first signal interrupts; what it holds is released before the failure is seen. */
export const untilSignal = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Interrupted, R | Signals> =>
  Effect.flatMap(Signals, ({ first }) =>
    Effect.raceFirst(
      effect,
      Effect.flatMap(first, (signal) => new Interrupted({ signal }))
    )
  )
