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
import { UsageError } from "./Errors.ts"

/** Words were checked before: nothing is to be corrected or guessed here. */
const config = CliConfig.make({ isCaseSensitive: true, autoCorrectLimit: 0, finalCheckBuiltIn: false })

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer)

/** The typed flags and arguments of a command in these words. */
const read = <A>(descriptor: CommandDescriptor.Command<A>, words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const directive = yield* CommandDescriptor.parse(descriptor, ["aegis", ...words], config).pipe(
      Effect.provide(platform),
      Effect.mapError(
        (error) => new UsageError({ message: HelpDoc.toAnsiText(error.error).trim(), remedy: "aegis help" })
      )
    )
    if (directive._tag === "BuiltIn") {
      return yield* new UsageError({ message: `cannot be understood: ${words.join(" ")}`, remedy: "aegis help" })
    }
    return directive.value
  }).pipe(Effect.withSpan("Commands.read"))

const one = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>) => {
  const aegis = Command.make("aegis").pipe(Command.withSubcommands([command]))
  const parse = (words: ReadonlyArray<string>) => read(aegis.descriptor, words)
  return { parse, perform: (words: ReadonlyArray<string>) => Effect.flatMap(parse(words), aegis.handler) }
}

/** Each is loaded when it is asked for, with what it needs: a start is most of what a short command takes. */
const commands = {
  up: async () => one((await import("./commands/Up.ts")).up),
  down: async () => one((await import("./commands/Down.ts")).down),
  status: async () => one((await import("./commands/Status.ts")).status),
  doctor: async () => one((await import("./commands/Doctor.ts")).doctor),
  "bug-report": async () => one((await import("./commands/BugReport.ts")).bugReportCommand),
  run: async () => one((await import("./commands/Run.ts")).run),
  instance: async () => one((await import("./commands/Instance.ts")).instance),
  exec: async () => one((await import("./commands/Exec.ts")).exec),
  attach: async () => one((await import("./commands/Attach.ts")).attach),
  cp: async () => one((await import("./commands/Copy.ts")).copy),
  expose: async () => one((await import("./commands/Expose.ts")).expose),
  unexpose: async () => one((await import("./commands/Expose.ts")).unexpose),
  keepalive: async () => one((await import("./commands/Keepalive.ts")).keepalive),
  logs: async () => one((await import("./commands/Logs.ts")).logs),
  events: async () => one((await import("./commands/Events.ts")).events),
  why: async () => one((await import("./commands/Why.ts")).why),
  audit: async () => one((await import("./commands/Audit.ts")).audit),
  image: async () => one((await import("./commands/Image.ts")).images),
  secret: async () => one((await import("./commands/Secret.ts")).secret),
  network: async () => one((await import("./commands/Network.ts")).network),
  workspace: async () => one((await import("./commands/Workspace.ts")).workspace),
  rootfs: async () => one((await import("./commands/Rootfs.ts")).rootfs),
  mcp: async () => one((await import("./commands/Mcp.ts")).mcp)
}

type Name = keyof typeof commands
type Loaded = Awaited<ReturnType<(typeof commands)[Name]>>
type Performed = ReturnType<Loaded["perform"]>

const isCommand = (word: string): word is Name => Object.hasOwn(commands, word)

const named = ([word = ""]: ReadonlyArray<string>) =>
  isCommand(word)
    ? Effect.promise((): Promise<Loaded> => commands[word]())
    : new UsageError({ message: `unknown command: ${word}`, remedy: "aegis help" })

/** The typed flags and arguments of the command that these words name. */
export const parse = (words: ReadonlyArray<string>) =>
  Effect.flatMap(named(words), (command): Effect.Effect<unknown, UsageError> => command.parse(words))

/** Carries out what these words say. */
export const perform = (words: ReadonlyArray<string>) =>
  Effect.flatMap(
    named(words),
    (command): Effect.Effect<void, Effect.Effect.Error<Performed>, Effect.Effect.Context<Performed>> =>
      command.perform(words)
  )
