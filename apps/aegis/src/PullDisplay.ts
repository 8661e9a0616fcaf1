/**
 * A pull, as the person who waits for it sees it.
 */
import type { PullProgress } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { progressLine } from "./ProgressLine.ts"
import { pullText } from "./PullText.ts"
import type { Stdio } from "./Stdio.ts"

/** Shows the steps on standard error as they come, and gives the last one. */
export const showPull = <A extends { readonly _tag: string }, E, R>(
  steps: Stream.Stream<PullProgress | A, E, R>
): Effect.Effect<Option.Option<PullProgress | A>, E, R | Stdio> =>
  Effect.gen(function* () {
    const line = yield* progressLine
    const text = pullText()
    return yield* steps.pipe(
      Stream.tap((step) => {
        const shown = isStep(step) ? text(step) : undefined
        return shown === undefined ? Effect.void : line.show(shown)
      }),
      Stream.runLast,
      Effect.ensuring(line.clear)
    )
  })

const steps: ReadonlyArray<string> = ["Resolving", "Downloading", "BuildingDisk", "Pulled"]

const isStep = (step: { readonly _tag: string }): step is PullProgress => steps.includes(step._tag)
