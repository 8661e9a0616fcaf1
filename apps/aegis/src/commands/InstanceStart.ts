/**
 * `aegis instance start`: S-080 to S-092.
 */
import { Aegis } from "@aegis/client"
import type { StartOutcome } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "../Caller.ts"
import { NothingToRestart } from "../Errors.ts"
import { GuestCommand } from "../GuestCommand.ts"
import { handleNamed, type InstanceFlags, instanceFlags, instanceRequest } from "../InstanceRequest.ts"
import { instanceJson } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const flags = {
  ...instanceFlags,
  interactive: Options.boolean("interactive", { aliases: ["i"] }),
  json: Options.boolean("json")
}

export const instanceStart = Command.make("start", flags, ({ json, ...given }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const outcome = yield* Effect.provide(start(given), Aegis.layer)
    yield* stdio.print(json ? jsonDocument(outcomeJson(outcome)) : outcomeText(outcome))
  }).pipe(untilSignal)
)

/** Without a command, the line was checked to have a name: the stopped instance that is called so is started (S-080). */
const start = (given: InstanceFlags) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const command = yield* GuestCommand
    if (command.length === 0 && Option.isSome(given.name)) {
      const handle = yield* handleNamed(given.name.value)
      return yield* Effect.catchTag(aegis.restart(handle), "NotFound", () => new NothingToRestart({ handle }))
    }
    const { cwd } = yield* Caller
    return yield* aegis.start(yield* instanceRequest(given, command, cwd))
  })

/** A restart is one line (D-01). */
const outcomeText = ({ instance: { handle, id }, restarted, router }: StartOutcome) =>
  restarted
    ? `Instance restarted: ${id}\n`
    : `Instance started: ${id}\n${handle === undefined ? "" : `Handle: ${handle}\n`}${router === undefined ? "" : `Router: ${router}\n`}`

const outcomeJson = ({ instance, restarted, router }: StartOutcome) => ({
  ...instanceJson(instance, router),
  restarted
})
