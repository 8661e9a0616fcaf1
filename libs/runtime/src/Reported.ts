import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"

/** Steps that a slow reader has not taken yet; of more than these the oldest are forgotten, since later ones tell the same better. */
const capacity = 64

/**
 * Work that reports its steps, as a stream of them that ends, or fails, as the work does, with `last` at its end. Whoever stops
 * reading interrupts the work.
 */
export const reported = <A, S, E, L = never>(
  work: (report: (step: S) => void) => Effect.Effect<A, E>,
  last: (result: A) => ReadonlyArray<L> = () => []
): Stream.Stream<S | NoInfer<L>, E> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const steps = yield* Mailbox.make<S>({ capacity, strategy: "sliding" })
      const fiber = yield* work((step) => void steps.unsafeOffer(step)).pipe(
        Effect.ensuring(steps.end),
        Effect.forkScoped
      )
      const end = Stream.unwrap(Effect.map(Fiber.join(fiber), (result) => Stream.fromIterable(last(result))))
      return Stream.concat(Mailbox.toStream(steps), end)
    })
  )
