/**
 * Composition: a checked command line becomes a running command, and its end an exit code.
 */
import { AegisHome, asCommandLine } from "@aegis/client"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Caller } from "./Caller.ts"
import type { CommandLine } from "./CommandLine.ts"
import { perform } from "./Commands.ts"
import { HomeUnusable } from "./Errors.ts"
import { type Failure, formatError } from "./ErrorText.ts"
import { exitCodeOf } from "./ExitCode.ts"
import { GuestCommand } from "./GuestCommand.ts"
import { Signals } from "./Signals.ts"
import { Stdio } from "./Stdio.ts"

type Command = Extract<CommandLine, { readonly _tag: "Command" }>

const home = AegisHome.layer.pipe(
  Layer.mapError((error) => new HomeUnusable({ message: error.message, remedy: error.remedy }))
)

const performed = (line: Command) =>
  perform(line.words).pipe(asCommandLine, Effect.provideService(GuestCommand, line.guestCommand), Effect.provide(home))

/** These say by their exit code alone what happened. */
const silent = ["Interrupted", "OutputClosed"]

const report = (failure: Failure) => Effect.flatMap(Stdio, (stdio) => stdio.note(formatError(failure, stdio.color)))

/** Runs a command to its end; succeeds with the exit code, whatever happens. */
export const exitCode = (line: Command) =>
  performed(line).pipe(
    Effect.as(0),
    Effect.catchTag("ExitWith", ({ code }) => Effect.succeed(code)),
    Effect.catchAllCause((cause) => {
      const kind = line.command.guestExitCode === true ? "guest" : "other"
      return Option.match(Cause.failureOption(cause), {
        onNone: () => Effect.as(reportDefect(cause), exitCodeOf({ _tag: "Defect" }, kind)),
        onSome: (error) => {
          const said = silent.includes(error._tag) ? Effect.void : report(failureOf(error))
          return Effect.as(said, exitCodeOf(error, kind))
        }
      })
    })
  )

const failureOf = (error: {
  readonly message: string
  readonly remedy?: string
  readonly consoleTail?: string
  readonly logTail?: string
}): Failure => ({
  message: error.message,
  remedy: error.remedy,
  console: error.consoleTail,
  log: error.logTail
})

/** A bug of ours: one line, and the trace for who asks for it. */
const reportDefect = (cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const { env } = yield* Caller
    const stdio = yield* Stdio
    const text = Cause.pretty(cause)
    yield* report({
      message: `aegis failed in itself: ${text.split("\n")[0] ?? ""}`,
      remedy: "AEGIS_DEBUG=1 shows where; please report it"
    })
    if (env["AEGIS_DEBUG"] === "1") yield* stdio.note(`${text}\n`)
  })

const live = Layer.mergeAll(Caller.layer, Stdio.layer, Signals.layer, NodeFileSystem.layer)

/** The program from here on; ends the process. Everything written has been taken by then. */
export const execute = (line: Command): void => {
  Effect.runCallback(Effect.provide(exitCode(line), live), {
    onExit: (exit) => process.exit(exit._tag === "Success" ? exit.value : 1)
  })
}
