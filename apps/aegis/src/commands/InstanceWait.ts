/**
 * `aegis instance wait`: the exit code of an instance's command.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import { ExitWith } from "../Errors.ts"
import { exitCodeOfEnd, lost } from "../GuestEnd.ts"
import { untilSignal } from "../Signals.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

export const instanceWait = Command.make("wait", { target: textArgument("HANDLE_OR_ID") }, ({ target }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const { ended } = yield* aegis.wait(yield* readTarget(target))
    const code = yield* ended === undefined
      ? lost("the instance is stopped, and nothing says how it ended", `aegis why ${target}`)
      : exitCodeOfEnd(ended)
    if (code !== 0) return yield* new ExitWith({ code })
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
