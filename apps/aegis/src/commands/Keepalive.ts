/**
 * `aegis keepalive`: an instance that idling leaves alone for a while (U-057).
 */
import { Aegis } from "@aegis/client"
import { restTime, SpokenDuration } from "@aegis/contract"
import { KeepaliveReason, KeepaliveRequest, KeepaliveSeconds } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "../Errors.ts"
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
  duration: Options.optional(textOption("for")),
  reason: Options.optional(textOption("reason")),
  json: Options.boolean("json")
}

const remedy = "--for 10m, of at most 24h; --for 0 ends it"

/** `0` alone means that it is over. */
const secondsOf = (text: string): Effect.Effect<number, UsageError> =>
  Effect.flatMap(flagValue(SpokenDuration, "--for", text === "0" ? "0s" : text, remedy), (duration) =>
    Effect.mapError(
      flagValue(KeepaliveSeconds, "--for", Duration.toSeconds(duration), remedy),
      (error) => new UsageError({ message: error.message.replace(": ", `: ${text}: `), remedy })
    )
  )

export const keepalive = Command.make("keepalive", config, ({ duration, json, reason, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    if (Option.isNone(duration)) return yield* new UsageError({ message: "--for TIME is missing", remedy })
    const seconds = yield* secondsOf(duration.value)
    const why = yield* Effect.transposeMapOption(reason, (text) =>
      flagValue(KeepaliveReason, "--reason", text, '--reason "a build runs in it"')
    )
    const request = new KeepaliveRequest({ seconds, ...(Option.isNone(why) ? {} : { reason: why.value }) })
    const instance = yield* aegis.keepAlive(yield* readTarget(target), request)
    const said =
      instance.keepalive === undefined
        ? "may idle again"
        : `is kept from idling until ${restTime(instance.keepalive.until)}`
    yield* stdio.print(json ? jsonDocument(instanceJson(instance)) : `Instance ${escapeLine(target)} ${said}\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
