/**
 * Places where a crash would hurt most, numbered as they are passed. For tests: `AEGIS_CRASH_AT=n` kills the daemon at the n-th.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

let passed = 0
let crashAt: number | undefined

/** Says once where this process is to die, from `AEGIS_CRASH_AT`; without it the points cost nothing. */
export const armCrashPoints: Effect.Effect<void> = Effect.map(
  Effect.orElseSucceed(Config.option(Config.integer("AEGIS_CRASH_AT")), () => Option.none<number>()),
  (number) => {
    crashAt = Option.getOrUndefined(number)
  }
)

/** Dies by SIGKILL here if this is the point that was asked for; its name goes to the log first. */
export const crashPoint = (name: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (crashAt === undefined) return Effect.void
    passed += 1
    if (passed !== crashAt) return Effect.void
    return Effect.logWarning(`crash point ${passed}: ${name}`).pipe(
      Effect.zipRight(Effect.sync(() => process.kill(process.pid, "SIGKILL"))),
      Effect.zipRight(Effect.never)
    )
  })
