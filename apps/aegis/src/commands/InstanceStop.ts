/**
 * `aegis instance stop`: S-111 to S-115, D-03.
 */
import { Aegis } from "@aegis/client"
import { SpokenGrace } from "@aegis/contract"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { escapeLine } from "../Escape.ts"
import { flagValue } from "../FlagValue.ts"
import { instanceJson } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument, textOption } from "../Verbatim.ts"

const config = {
  target: textArgument("HANDLE_OR_ID"),
  timeout: Options.optional(textOption("timeout")),
  json: Options.boolean("json")
}

export const instanceStop = Command.make("stop", config, ({ json, target, timeout }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const grace = yield* Effect.transposeMapOption(timeout, (text) =>
      flagValue(SpokenGrace, "--timeout", text, "--timeout 30, or --timeout 5m")
    )
    const instance = yield* aegis.stop(yield* readTarget(target), Option.getOrUndefined(grace))
    yield* stdio.print(json ? jsonDocument(instanceJson(instance)) : `Instance ${escapeLine(target)} stopped\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
