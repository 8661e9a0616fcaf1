/**
 * `aegis events`: what the journal holds.
 */
import { Aegis } from "@aegis/client"
import { SpokenSince } from "@aegis/contract"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { eventJson, eventLine } from "../EventText.ts"
import { flagValue } from "../FlagValue.ts"
import { jsonLine } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument, textOption } from "../Verbatim.ts"

const config = {
  target: Args.optional(textArgument("HANDLE_OR_ID")),
  follow: Options.boolean("follow", { aliases: ["f"] }),
  since: Options.optional(textOption("since")),
  json: Options.boolean("json")
}

export const events = Command.make("events", config, ({ follow, json, ...given }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const target = Option.getOrUndefined(yield* Effect.transposeMapOption(given.target, readTarget))
    const since = Option.getOrUndefined(
      yield* Effect.transposeMapOption(given.since, (text) =>
        flagValue(SpokenSince, "--since", text, "--since 10m, or --since 2026-02-19T10:30:00Z")
      )
    )
    yield* Stream.runForEachChunk(aegis.events({ target, since, follow }), (chunk) =>
      stdio.print(Array.from(chunk, (event) => (json ? jsonLine(eventJson(event)) : eventLine(event))).join(""))
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
