/**
 * How a pull is shown on standard error: one line that changes on a terminal, a line for each new phase elsewhere.
 */
import type { PullProgress } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { clearLine } from "./BootProgress.ts"
import { pullText } from "./PullText.ts"
import { Stdio } from "./Stdio.ts"

/** Shows the steps as they come and gives the last one. Standard output stays free for the result. */
export const showPull = <A extends { readonly _tag: string }, E, R>(
  steps: Stream.Stream<PullProgress | A, E, R>
): Effect.Effect<Option.Option<PullProgress | A>, E, R | Stdio> =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const text = pullText()
    let phase = ""
    const show = (step: PullProgress) => {
      const begun = step._tag !== phase
      phase = step._tag
      const words = text(step).slice(0, 76)
      if (step._tag === "Pulled") return Effect.void
      if (stdio.isTerminal) return stdio.note(`${clearLine}${words}`)
      return begun ? stdio.note(`${words}\n`) : Effect.void
    }
    return yield* steps.pipe(
      Stream.tap((step) => (isProgress(step) ? show(step) : Effect.void)),
      Stream.runLast,
      Effect.ensuring(stdio.isTerminal ? stdio.note(clearLine) : Effect.void)
    )
  })

const phases: ReadonlyArray<string> = ["Resolving", "Downloading", "BuildingDisk", "Pulled"]

const isProgress = (step: { readonly _tag: string }): step is PullProgress => phases.includes(step._tag)
