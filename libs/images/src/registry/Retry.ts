/**
 * How often, and how long after, something is tried again.
 */
import { type RegistryError, RegistryUnavailable } from "@aegis/domain"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { type Failure, Transient } from "./Failure.ts"

/** Tries in a row that bring nothing. */
const maxTries = 3

/** All waiting between such tries (T-95). */
const maxWait = Duration.seconds(60)

/** Counts the tries of one piece of work. */
export interface Patience {
  /** Waits before another try, or gives up with the failure's own error. */
  readonly wait: (failure: Transient) => Effect.Effect<void, RegistryError>
  /** Something has come: the count begins anew. */
  readonly renew: () => void
}

export const makePatience = (): Patience => {
  let failed = 0
  let waited = Duration.zero
  return {
    wait: ({ after, error }) =>
      Effect.gen(function* () {
        failed++
        if (failed >= maxTries) return yield* Effect.fail(error)
        const usual = Duration.times(Duration.millis(500), 2 ** (failed - 1) * (yield* Random.nextRange(0.7, 1.3)))
        const pause = Option.getOrElse(after, () => usual)
        waited = Duration.sum(waited, pause)
        if (Duration.greaterThan(waited, maxWait)) return yield* Effect.fail(withWait(error, pause))
        yield* Effect.sleep(pause)
      }),
    renew: () => {
      failed = 0
      waited = Duration.zero
    }
  }
}

/** Tries again what may be mended: three tries in all, half a second and more between them. */
export const retrying = <A, R>(attempt: Effect.Effect<A, Failure, R>): Effect.Effect<A, RegistryError, R> =>
  Effect.suspend(() => {
    const patience = makePatience()
    const again: Effect.Effect<A, RegistryError, R> = Effect.catchTag(attempt, "Transient", (failure) =>
      Effect.zipRight(patience.wait(failure), again)
    )
    return again
  })

const withWait = (error: RegistryError, pause: Duration.Duration): RegistryError =>
  error._tag === "RegistryUnavailable"
    ? new RegistryUnavailable({
        registry: error.registry,
        cause: error.cause,
        reason: `${error.reason}, and asks to be left alone for ${Math.round(Duration.toSeconds(pause))} s`
      })
    : error
