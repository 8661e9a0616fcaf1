/**
 * `aegis instance pause` and `resume`: S-133 to S-137, D-03.
 */
import { Aegis } from "@aegis/client"
import type { Instance } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { escapeLine } from "../Escape.ts"
import { instanceJson } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const config = { target: textArgument("HANDLE_OR_ID"), json: Options.boolean("json") }

export const instancePause = Command.make("pause", config, ({ json, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    yield* say(yield* aegis.pause(yield* readTarget(target)), target, "paused", json)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const instanceResume = Command.make("resume", config, ({ json, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    yield* say(yield* aegis.resume(yield* readTarget(target)), target, "resumed", json)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const say = (instance: Instance, target: string, done: string, json: boolean) =>
  Effect.flatMap(Stdio, (stdio) =>
    stdio.print(json ? jsonDocument(instanceJson(instance)) : `Instance ${escapeLine(target)} ${done}\n`)
  )
