/**
 * `aegis instance prune`: S-138 to S-145, D-07.
 */
import { Aegis } from "@aegis/client"
import { defaultPruneAge, SpokenDuration } from "@aegis/contract"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { flagValue } from "../FlagValue.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { textOption } from "../Verbatim.ts"

const flag = "stopped-older-than"

const config = { age: Options.optional(textOption(flag)), json: Options.boolean("json") }

export const instancePrune = Command.make("prune", config, ({ age, json }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const stoppedFor = yield* Option.match(age, {
      onNone: () => Effect.succeed(defaultPruneAge),
      onSome: (text) => flagValue(SpokenDuration, `--${flag}`, text, `--${flag} 7d`)
    })
    const ids = yield* aegis.prune(stoppedFor)
    yield* stdio.print(json ? jsonDocument({ pruned: ids.length, ids }) : `Pruned ${ids.length} stopped instance(s)\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
