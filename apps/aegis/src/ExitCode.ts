/**
 * The one table of exit codes (D-04, D-21).
 */

/** A command line that cannot be understood. */
export const usageExitCode = 2

const ownExitCode = 1
const runExitCode = 125

/** What a reader that closes our output ends a program with: 128 + SIGPIPE. */
const pipeExitCode = 141

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const

/** The signals that end a command. */
export type EndingSignal = keyof typeof signalNumbers
export const endingSignals: ReadonlyArray<EndingSignal> = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]

/** The number that every Unix has for it. */
export const signalNumber = (signal: EndingSignal): number => signalNumbers[signal]

/** 128 + N, as a shell reports it. */
export const signalExitCode = (signal: EndingSignal): number => 128 + signalNumbers[signal]

/** Failures that have a code of their own, whatever the command. */
const byTag: Readonly<Record<string, number>> = {
  UsageError: usageExitCode,
  InvalidArgument: usageExitCode,
  ResourcesRefused: usageExitCode,
  OutputClosed: pipeExitCode
}

/** The exit code for a failure of `aegis run` or `aegis exec` (`guest`) or of any other command. */
export const exitCodeOf = (
  error: { readonly _tag: string; readonly cause?: unknown; readonly signal?: EndingSignal },
  command: "guest" | "other"
): number => {
  if (error._tag === "Interrupted" && error.signal !== undefined) return signalExitCode(error.signal)
  if (error._tag === "CommandNotStarted") return error.cause === "not-found" ? 127 : 126
  return byTag[error._tag] ?? (command === "guest" ? runExitCode : ownExitCode)
}

/** The exit code for a command that signal N ended in its guest. */
export const deathExitCode = (signal: number): number => 128 + signal
