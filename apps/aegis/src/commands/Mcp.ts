/**
 * `aegis mcp`: S-182 to S-188. No daemon is needed.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Caller } from "../Caller.ts"
import { lines } from "../ChildProgram.ts"
import { ClaudeFailed, ClaudeMissing, HostFailed, McpBinaryMissing } from "../Errors.ts"
import { jsonDocument } from "../JsonText.ts"
import { programNamed } from "../LocalTools.ts"
import { configuration, register, unregister } from "../McpServers.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

/** Runs `claude` to its end; what it prints is not shown, and what it fails with is. */
const claude = (program: string, args: ReadonlyArray<string>) =>
  Effect.flatMap(Caller, ({ env }) =>
    Effect.mapError(
      Stream.runDrain(lines(program, args, env)),
      ({ reason, stderr }) =>
        new ClaudeFailed({ message: stderr.trim() === "" ? reason : stderr.trim(), command: args.join(" ") })
    )
  )

const projectFile = Effect.flatMap(Caller, ({ cwd }) =>
  cwd === undefined
    ? new HostFailed({ message: "the working directory no longer exists", remedy: "change to a directory that exists" })
    : Effect.succeed(`${cwd}/.mcp.json`)
)

const install = Command.make("install", { project: Options.boolean("project") }, ({ project }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const { product } = yield* Caller
    const found = yield* programNamed("aegis-mcp", [`${product}/aegis-mcp`])
    if (Option.isNone(found)) return yield* new McpBinaryMissing({ path: `${product}/aegis-mcp` })
    const binary = found.value
    const scope = project ? "project" : "user"
    const program = yield* programNamed("claude")
    if (Option.isSome(program)) {
      yield* claude(program.value, ["mcp", "add", "--transport", "stdio", "--scope", scope, "aegis", "--", binary])
      return yield* stdio.print(`aegis MCP server registered in Claude Code\n  binary: ${binary}\n  scope:  ${scope}\n`)
    }
    if (project) {
      const file = yield* projectFile
      yield* register(file, binary)
      return yield* stdio.print(`aegis MCP server written to ${file}\n  binary: ${binary}\n  scope:  project\n`)
    }
    yield* stdio.print(jsonDocument(configuration(binary)))
    return yield* new ClaudeMissing({
      remedy:
        "install Claude Code, or paste the configuration above into your client's; --project writes .mcp.json here"
    })
  }).pipe(untilSignal)
)

const uninstall = Command.make("uninstall", {}, () =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const program = yield* programNamed("claude")
    if (Option.isSome(program)) {
      yield* claude(program.value, ["mcp", "remove", "aegis"])
      return yield* stdio.print("aegis MCP server removed from Claude Code\n")
    }
    const file = yield* projectFile
    if (yield* unregister(file)) return yield* stdio.print(`aegis MCP server removed from ${file}\n`)
    return yield* new ClaudeMissing({ remedy: "take the entry aegis out of your client's configuration" })
  }).pipe(untilSignal)
)

export const mcp = Command.make("mcp").pipe(Command.withSubcommands([install, uninstall]))
