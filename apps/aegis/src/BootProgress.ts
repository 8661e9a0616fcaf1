/**
 * A line on the terminal while a guest boots, gone before anything else is written there.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { clearLine, progressLine, type Step } from "./ProgressLine.ts"
import { Stdio } from "./Stdio.ts"

/** A start that is done by then shows nothing. */
const patience = "400 millis"

const booting = "Starting the guest"

export interface BootProgress {
  /** What is being done from now on; the guest's start again where it is nothing. */
  readonly say: (step: Step | undefined) => Effect.Effect<void>
  /** Takes the line away, and keeps it away. Costs nothing when it is called again. */
  readonly clear: Effect.Effect<void>
}

/**
 * Shows on a terminal that a guest is starting, or what comes before that, until `clear` or the end of the scope. Elsewhere only what
 * comes before it is told, a line for each phase.
 */
export const bootProgress: Effect.Effect<BootProgress, never, Stdio | Scope.Scope> = Effect.gen(function* () {
  const stdio = yield* Stdio
  if (!stdio.isTerminal) {
    const { show } = yield* progressLine
    return { say: (step) => (step === undefined ? Effect.void : show(step)), clear: Effect.void }
  }
  let shown = false
  let cleared = false
  let what = booting
  let elapsed = 0
  const draw = Effect.suspend(() =>
    stdio.note(`${clearLine}${what.slice(0, 66)}...${elapsed === 0 ? "" : ` ${elapsed} s`}`)
  )
  const show = (seconds: number) =>
    Effect.suspend(() => {
      shown = true
      elapsed = seconds
      return draw
    })
  const say = (step: Step | undefined) =>
    Effect.suspend(() => {
      const words = step?.text ?? booting
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
