/**
 * `aegis run`: S-056 to S-079.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { Caller } from "../Caller.ts"
import { ExitWith } from "../Errors.ts"
import { GuestCommand } from "../GuestCommand.ts"
import { runRequest } from "../RunRequest.ts"
import { runSession } from "../RunSession.ts"
import { textOption, textOptions } from "../Verbatim.ts"

const flags = {
  name: Options.optional(textOption("name")),
  env: textOptions("env"),
  workspace: Options.optional(textOption("workspace")),
  memory: Options.optional(textOption("memory")),
  cpus: Options.optional(textOption("cpus")),
  interactive: Options.boolean("interactive", { aliases: ["i"] })
}

export const run = Command.make("run", flags, (given) =>
  Effect.gen(function* () {
    const { cwd } = yield* Caller
    const spec = yield* runRequest(given, yield* GuestCommand, cwd)
    const code = yield* Effect.provide(runSession(spec), Aegis.layer)
    if (code !== 0) return yield* new ExitWith({ code })
  })
)
