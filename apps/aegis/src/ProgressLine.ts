/**
 * What is being done, on standard error: one line that changes on a terminal, a line for each phase elsewhere.
 */
import * as Effect from "effect/Effect"
import { Stdio } from "./Stdio.ts"

export const clearLine = "\r\u001b[K"

/** A line that a terminal would break could not be taken back. */
const width = 78

export interface Step {
  /** What is done, without figures: all that a log file gets. */
  readonly phase: string
  /** The same with how far it is. */
  readonly text: string
}

export interface ProgressLine {
  readonly show: (step: Step) => Effect.Effect<void>
  /** Takes the line away, for something else to be written there. */
  readonly clear: Effect.Effect<void>
}

/** Nothing is written before the first step. Both parts of a step are harmless for a terminal already. */
export const progressLine: Effect.Effect<ProgressLine, never, Stdio> = Effect.map(Stdio, (stdio) => {
  let last = ""
  const showOnce = (text: string, written: string) =>
    Effect.suspend(() => {
      if (text === last) return Effect.void
      last = text
      return stdio.note(written)
    })
  return stdio.isTerminal
    ? {
        show: ({ text }) => showOnce(text, `${clearLine}${text.slice(0, width)}`),
        clear: Effect.suspend(() => (last === "" ? Effect.void : showOnce("", clearLine)))
      }
    : { show: ({ phase }) => showOnce(phase, `${phase}\n`), clear: Effect.void }
})
