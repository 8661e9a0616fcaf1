/**
 * The commands that are carried out with Effect, and how a command line becomes one of them.
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as CommandDescriptor from "@effect/cli/CommandDescriptor"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { attach } from "./commands/Attach.ts"
import { audit } from "./commands/Audit.ts"
import { bugReportCommand } from "./commands/BugReport.ts"
import { copy } from "./commands/Copy.ts"
import { doctor } from "./commands/Doctor.ts"
import { down } from "./commands/Down.ts"
import { events } from "./commands/Events.ts"
import { exec } from "./commands/Exec.ts"
import { expose, unexpose } from "./commands/Expose.ts"
import { instance } from "./commands/Instance.ts"
import { images } from "./commands/Image.ts"
import { keepalive } from "./commands/Keepalive.ts"
import { logs } from "./commands/Logs.ts"
import { mcp } from "./commands/Mcp.ts"
import { network } from "./commands/Network.ts"
import { rootfs } from "./commands/Rootfs.ts"
import { run } from "./commands/Run.ts"
import { secret } from "./commands/Secret.ts"
import { status } from "./commands/Status.ts"
import { up } from "./commands/Up.ts"
import { why } from "./commands/Why.ts"
import { workspace } from "./commands/Workspace.ts"
import { UsageError } from "./Errors.ts"

export const aegis = Command.make("aegis").pipe(
  Command.withSubcommands([
    up,
    down,
    status,
    doctor,
    bugReportCommand,
    run,
    instance,
    exec,
    attach,
    copy,
    expose,
    unexpose,
    keepalive,
    logs,
    events,
    why,
    audit,
    images,
    secret,
    network,
    workspace,
    rootfs,
    mcp
  ])
)

/** Words were checked before: nothing is to be corrected or guessed here. */
const config = CliConfig.make({ isCaseSensitive: true, autoCorrectLimit: 0, finalCheckBuiltIn: false })

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer)

/** The typed flags and arguments of the command that these words name. */
export const parse = Effect.fn("Commands.parse")(function* (words: ReadonlyArray<string>) {
  const directive = yield* CommandDescriptor.parse(aegis.descriptor, ["aegis", ...words], config).pipe(
    Effect.provide(platform),
    Effect.mapError(
      (error) => new UsageError({ message: HelpDoc.toAnsiText(error.error).trim(), remedy: "aegis help" })
    )
  )
  if (directive._tag === "BuiltIn") {
    return yield* new UsageError({ message: `cannot be understood: ${words.join(" ")}`, remedy: "aegis help" })
  }
  return directive.value
})
