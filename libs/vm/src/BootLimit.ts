import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** How long a guest may take from the VMM's spawn to its harness's first answer: `AEGIS_BOOT_TIMEOUT` in seconds, 30 by default. */
export const bootLimit: Effect.Effect<Duration.Duration> = Config.number("AEGIS_BOOT_TIMEOUT").pipe(
  Config.withDefault(30),
  Effect.map(Duration.seconds),
  Effect.orDie
)
