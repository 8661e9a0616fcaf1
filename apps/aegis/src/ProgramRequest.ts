/**
 * From a command line and its `--env` to what a guest runs.
 */
import { Command, Environment, maxCommandBytes } from "@aegis/domain"
import * as Effect from "effect/Effect"
import { UsageError } from "./Errors.ts"
import { flagValue } from "./FlagValue.ts"

const remedy = "aegis help run, or aegis help exec"

/** A command and its variables. */
export const programRequest = (argv: ReadonlyArray<string>, variables: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const command = yield* flagValue(Command, "COMMAND", argv, remedy)
    const env = yield* flagValue(
      Environment,
      "--env",
      Object.fromEntries(yield* Effect.forEach(variables, variable)),
      remedy
    )
    const bytes = [...argv, ...variables].reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0)
    if (bytes > maxCommandBytes) {
      return yield* new UsageError({
        message: `the command and its environment have ${bytes} bytes; at most ${maxCommandBytes} are possible`,
        remedy: "put long data into a file of a workspace, or pass it through standard input (-i)"
      })
    }
    return { command, env }
  })

/** `K=V`: the value may hold further `=` and may be empty, the name may not (S-072, T-6). */
const variable = (text: string): Effect.Effect<readonly [string, string], UsageError> => {
  const equals = text.indexOf("=")
  const name = text.slice(0, Math.max(equals, 0))
  // An object cannot carry this name over the wire: it would become the object's prototype.
  return equals < 1 || name === "__proto__"
    ? new UsageError({
        message: `invalid --env format: ${text} (expected KEY=VALUE)`,
        remedy: "--env KEY=VALUE, with a name before the first ="
      })
    : Effect.succeed([name, text.slice(equals + 1)])
}
