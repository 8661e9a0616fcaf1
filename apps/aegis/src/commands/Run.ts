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
import { instanceFlags, instanceRequest } from "../InstanceRequest.ts"
import { runSession } from "../RunSession.ts"

const flags = { ...instanceFlags, interactive: Options.boolean("interactive", { aliases: ["i"] }) }

export const run = Command.make("run", flags, (given) =>
  Effect.gen(function* () {
    const { cwd } = yield* Caller
    const spec = yield* instanceRequest(given, yield* GuestCommand, cwd)
    const code = yield* Effect.provide(runSession(spec), Aegis.layer)
    if (code !== 0) return yield* new ExitWith({ code })
  })
)
