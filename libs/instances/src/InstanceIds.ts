import { InstanceId } from "@aegis/domain"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"

/** A generator of ids: Unix nanoseconds, made strictly increasing whatever the clock does (contract D-20). */
export const make: Effect.Effect<Effect.Effect<InstanceId>> = Effect.gen(function* () {
  const last = yield* Ref.make(0n)
  return Effect.flatMap(Clock.currentTimeNanos, (now) =>
    Ref.updateAndGet(last, (previous) => (now > previous ? now : previous + 1n))
  ).pipe(Effect.map((nanos) => InstanceId.make(`inst-${nanos}`)))
})
