/**
 * A line on the terminal while a guest boots, gone before anything else is written there.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { Stdio } from "./Stdio.ts"

/** A start that is done by then shows nothing. */
const patience = "400 millis"

export const clearLine = "\r\u001b[K"

export const booting = "Starting the guest"

export interface BootProgress {
  /** What is being done from now on, instead of the guest's start. */
  readonly say: (what: string) => Effect.Effect<void>
  /** Takes the line away, and keeps it away. Costs nothing when it is called again. */
  readonly clear: Effect.Effect<void>
}

/** Shows that a guest is starting, or what comes before that, on a terminal only, until `clear` or the end of the scope. */
export const bootProgress: Effect.Effect<BootProgress, never, Stdio | Scope.Scope> = Effect.gen(function* () {
  const stdio = yield* Stdio
  if (!stdio.isTerminal) return { say: () => Effect.void, clear: Effect.void }
  let shown = false
  let cleared = false
  let what = booting
  let elapsed = 0
  const draw = Effect.suspend(() => stdio.note(`${clearLine}${what}...${elapsed === 0 ? "" : ` ${elapsed} s`}`))
  const show = (seconds: number) =>
    Effect.suspend(() => {
      shown = true
      elapsed = seconds
      return draw
    })
  const say = (words: string) =>
    Effect.suspend(() => {
      if (words === what) return Effect.void
      what = words
      return shown && !cleared ? draw : Effect.void
    })
  const fiber = yield* Effect.sleep(patience).pipe(
    Effect.andThen(show(0)),
    Effect.andThen(
      Effect.iterate(1, {
        while: () => true,
        body: (seconds) => Effect.sleep("1 second").pipe(Effect.andThen(show(seconds)), Effect.as(seconds + 1))
      })
    ),
    Effect.forkScoped
  )
  const clear = Effect.suspend(() => {
    if (cleared) return Effect.void
    cleared = true
    return Fiber.interrupt(fiber).pipe(
      Effect.andThen(Effect.suspend(() => (shown ? stdio.note(clearLine) : Effect.void)))
    )
  })
  yield* Effect.addFinalizer(() => clear)
  return { say, clear }
})
