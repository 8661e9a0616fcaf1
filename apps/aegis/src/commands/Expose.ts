/**
 * `aegis expose` and `unexpose`: the ports of an instance that is there already.
 */
import { Aegis } from "@aegis/client"
import { SpokenExposure, SpokenPort } from "@aegis/contract"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { escapeLine } from "../Escape.ts"
import { flagValue } from "../FlagValue.ts"
import { instanceJson } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const target = textArgument("HANDLE_OR_ID")
const json = Options.boolean("json")

export const expose = Command.make("expose", { target, port: textArgument("PORT"), json }, ({ json, port, target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const exposure = yield* flagValue(SpokenExposure, "port", port, "aegis expose web 80, or 8080:80/tcp")
    const instance = yield* aegis.expose(yield* readTarget(target), exposure)
    const lines = instance.endpoints.flatMap(({ guest, host, protocol }) =>
      guest === exposure.port
        ? [
            `Port ${guest} of ${escapeLine(target)}: ${protocol === "http" ? "http://127.0.0.1:" : "127.0.0.1:"}${host}\n`
          ]
        : []
    )
    yield* stdio.print(json ? jsonDocument(instanceJson(instance)) : lines.join(""))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const unexpose = Command.make(
  "unexpose",
  { target, port: textArgument("PORT"), json },
  ({ json, port, target }) =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const stdio = yield* Stdio
      const guest = yield* flagValue(SpokenPort, "port", port, "aegis unexpose web 80, with the guest's port")
      const instance = yield* aegis.unexpose(yield* readTarget(target), guest)
      yield* stdio.print(
        json ? jsonDocument(instanceJson(instance)) : `Port ${guest} of ${escapeLine(target)} is not exposed any more\n`
      )
    }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
