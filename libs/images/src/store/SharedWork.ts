/**
 * Work that is done once for all who ask for it at the same time.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

export interface SharedWork<Progress, A, E> {
  /**
   * Joins the work that is under way for `key`, or begins it. A caller that is interrupted leaves; the work goes on for the
   * others and ends with the last of them (T-110). Each caller hears the progress from where the work stands. Work that ended is
   * forgotten: the next caller begins anew.
   *
   * @param origin where the work gets its data from. Who joined the work of another origin does not share its failure, but
   * does the work itself.
   */
  readonly run: (request: {
    readonly key: string
    readonly origin: string
    readonly report: (progress: Progress, joined: boolean) => void
    readonly work: (report: (progress: Progress) => void) => Effect.Effect<A, E>
  }) => Effect.Effect<A, E>
  /** The keys of the work that is under way. */
  readonly underWay: Effect.Effect<ReadonlySet<string>>
}

interface Flight<Progress, A, E> {
  readonly origin: string
  readonly listeners: Set<(progress: Progress) => void>
  last: Progress | undefined
  readonly fiber: Fiber.RuntimeFiber<A, E>
  /** Its last caller has left: it is being interrupted, and nobody may join it. */
  ending: boolean
}

/** The scope's end ends all work. */
export const make = <Progress, A, E>(): Effect.Effect<SharedWork<Progress, A, E>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    type Work = SharedWork<Progress, A, E>
    const flights = new Map<string, Flight<Progress, A, E>>()

    const begin = ({ key, origin, work }: Parameters<Work["run"]>[0]) =>
      Effect.gen(function* () {
        const listeners = new Set<(progress: Progress) => void>()
        const tell = (progress: Progress) => {
          flight.last = progress
          listeners.forEach((listener) => listener(progress))
        }
        // Begins when its flight stands: it may tell of progress in its first step.
        const go = yield* Deferred.make<void>()
        const fiber = yield* Deferred.await(go).pipe(
          Effect.zipRight(Effect.suspend(() => work(tell))),
          Effect.interruptible,
          Effect.forkIn(scope)
        )
        const flight: Flight<Progress, A, E> = { origin, fiber, listeners, last: undefined, ending: false }
        flights.set(key, flight)
        fiber.addObserver(() => flights.delete(key))
        yield* Deferred.succeed(go, undefined)
        return flight
      })

    const run: Work["run"] = (request) =>
      // Between the look and the listener nothing may come: work that nobody follows would never be ended.
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const found = flights.get(request.key)
          if (found?.ending === true) {
            yield* restore(Fiber.await(found.fiber))
            return yield* restore(run(request))
          }
          const flight = found ?? (yield* begin(request))
          const joined = found !== undefined
          const listener = (progress: Progress) => request.report(progress, joined)
          flight.listeners.add(listener)
          if (flight.last !== undefined) listener(flight.last)
          const leave = Effect.suspend(() => {
            flight.listeners.delete(listener)
            if (flight.listeners.size > 0) return Effect.void
            flight.ending = true
            return Fiber.interrupt(flight.fiber)
          })
          const outcome = restore(Effect.flatten(Fiber.await(flight.fiber))).pipe(Effect.ensuring(leave))
          return yield* flight.origin === request.origin
            ? outcome
            : Effect.catchAll(outcome, () => restore(run(request)))
        })
      )

    return { run, underWay: Effect.sync(() => new Set(flights.keys())) }
  })
