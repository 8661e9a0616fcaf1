/**
 * Word to the client that a command still runs: a client that gives calls up after some time without progress waits for this one.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Call } from "./Tool.ts"

const beat = "5 seconds"

/** Tells every 5 s for how long it has run and how much it has said, without end. */
export const heartbeat = ({ progress }: Call, output: { readonly bytes: number }): Effect.Effect<never> =>
  Effect.gen(function* () {
    const begun = yield* Clock.currentTimeMillis
    const tell = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      progress(`it runs for ${Math.round((now - begun) / 1000)} s; ${output.bytes} bytes of output`)
    )
    return yield* Effect.forever(Effect.zipRight(Effect.sleep(beat), tell))
  })
