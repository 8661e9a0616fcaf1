/**
 * `aegis instance info`: S-101 to S-109.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { instanceDetails, instanceJson } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const config = { target: textArgument("HANDLE_OR_ID"), json: Options.boolean("json") }

export const instanceInfo = Command.make("info", config, ({ json, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const instance = yield* aegis.get(yield* readTarget(target))
    yield* stdio.print(json ? jsonDocument(instanceJson(instance)) : instanceDetails(instance))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
