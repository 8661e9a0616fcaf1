/**
 * `aegis why`: the causes behind an instance's present state.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { escapeLine } from "../Escape.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const config = { target: textArgument("HANDLE_OR_ID"), json: Options.boolean("json") }

export const why = Command.make("why", config, ({ json, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const sentences = yield* aegis.why(yield* readTarget(target))
    yield* stdio.print(
      json ? jsonDocument({ target, why: sentences }) : sentences.map((text) => `${escapeLine(text)}\n`).join("")
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
