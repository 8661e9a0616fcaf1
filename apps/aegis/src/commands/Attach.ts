/**
 * `aegis attach`: the streams of an instance's command.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { attachSession } from "../AttachSession.ts"
import { ExitWith } from "../Errors.ts"
import { flagValue } from "../FlagValue.ts"
import { LineCount } from "../LineCount.ts"
import { untilSignal } from "../Signals.ts"
import { readTarget } from "../Target.ts"
import { textArgument, textOption } from "../Verbatim.ts"

const config = {
  target: textArgument("HANDLE_OR_ID"),
  interactive: Options.boolean("interactive", { aliases: ["i"] }),
  tail: Options.optional(textOption("tail"))
}

const usualTail = "10"

export const attach = Command.make("attach", config, ({ interactive, ...given }) =>
  Effect.gen(function* () {
    const target = yield* readTarget(given.target)
    const tail = yield* flagValue(
      LineCount,
      "--tail",
      Option.getOrElse(given.tail, () => usualTail),
      "--tail 100"
    )
    const code = yield* attachSession({ target, tail, interactive })
    if (code !== 0) return yield* new ExitWith({ code })
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
