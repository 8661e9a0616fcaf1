/**
 * The daemon as a process: started, found, stopped.
 */
import { AegisHome, type DaemonState, daemonState } from "@aegis/client"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "./Caller.ts"
import { launch } from "./DaemonLaunch.ts"
import { DaemonNotStarted, DaemonNotStopped, HostFailed } from "./Errors.ts"

type Files = AegisHome | FileSystem.FileSystem

export type StartOutcome =
  | { readonly _tag: "Started"; readonly pid: number }
  /** Another `up` was faster, or it ran all the time. */
  | { readonly _tag: "AlreadyRunning"; readonly pid: number }

/** S-032; `AEGIS_UP_TIMEOUT` (seconds) for machines that are slower than any person's. */
const startLimit = (env: Readonly<Record<string, string>>) => {
  const seconds = Number(env["AEGIS_UP_TIMEOUT"] ?? "")
  return Duration.seconds(seconds > 0 && seconds <= 600 ? seconds : 2)
}

/** How long a daemon that has taken its home may go on with the guests it finds, before it serves. */
const recoveryLimit = Duration.seconds(60)

/** S-042. */
const stopLimit = Duration.seconds(5)

/** How long a daemon that another `up` started, or that is on its way out, is waited for. */
const othersLimit = Duration.seconds(10)

const poll = Duration.millis(25)

/**
 * The pid in the daemon's file, where a process of that number lives and is a daemon of ours. Numbers are used again: the command
 * line is looked at where the system shows it, and a zombie counts as dead.
 */
const livingPid: Effect.Effect<Option.Option<number>, never, Files> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { pidFile } = yield* AegisHome
  const pid = Number((yield* Effect.orElseSucceed(fs.readFileString(pidFile), () => "")).trim())
  if (!Number.isInteger(pid) || pid < 2 || !(yield* isAlive(pid))) return Option.none()
  const commandLine = yield* Effect.option(fs.readFileString(`/proc/${pid}/cmdline`))
  return Option.isNone(commandLine) || commandLine.value.includes("aegisd") ? Option.some(pid) : Option.none()
})

const isAlive = (pid: number): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const exists = yield* Effect.sync(() => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    })
    if (!exists) return false
    const fs = yield* FileSystem.FileSystem
    const stat = yield* Effect.orElseSucceed(fs.readFileString(`/proc/${pid}/stat`), () => "")
    // The state is the first field behind the name, which is in parentheses and may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z"
  })

/** Looks again and again until there is something to see. */
const awaitSome = <A, E, R>(look: Effect.Effect<Option.Option<A>, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    look,
    Option.match({
      onNone: () => Effect.andThen(Effect.sleep(poll), awaitSome(look)),
      onSome: (found) => Effect.succeed(found)
    })
  )

/** The daemon's state once it is one or the other: a process that is starting or stopping is waited for. */
export const settledState: Effect.Effect<DaemonState, never, Files> = Effect.gen(function* () {
  const state = yield* daemonState
  return state._tag === "Running" || Option.isNone(yield* livingPid) ? Option.some(state) : Option.none()
}).pipe(
  awaitSome,
  Effect.timeoutOption(othersLimit),
  Effect.flatMap(Option.match({ onNone: () => daemonState, onSome: (state) => Effect.succeed(state) }))
)

/** Starts `program` in a session of its own and waits until it answers (S-031, S-032). */
export const startDaemon = (
  program: string
): Effect.Effect<StartOutcome, DaemonNotStarted | HostFailed, Files | Caller> =>
  Effect.gen(function* () {
    const { env } = yield* Caller
    const launched = yield* launch(program)
    const notStarted = (message: string) =>
      Effect.flatMap(launched.logTail, (logTail) => new DaemonNotStarted({ message, log: launched.log, logTail }))
    const look = Effect.map(daemonState, (state): Option.Option<StartOutcome> =>
      state._tag === "Running"
        ? Option.some({ _tag: state.pid === launched.pid ? "Started" : "AlreadyRunning", pid: state.pid })
        : Option.none()
    )
    const timedOut = Effect.sleep(startLimit(env)).pipe(
      Effect.zipRight(livingPid),
      Effect.flatMap((pid) => (Option.contains(pid, launched.pid) ? Effect.sleep(recoveryLimit) : Effect.void)),
      Effect.as({ _tag: "TimedOut" } as const)
    )
    const seen = yield* Effect.raceFirst(
      awaitSome(look),
      Effect.map(launched.ended, (reason) => ({ _tag: "Ended", reason }) as const)
    ).pipe(
      Effect.raceFirst(timedOut),
      Effect.onInterrupt(() => launched.kill)
    )
    switch (seen._tag) {
      case "Started":
      case "AlreadyRunning":
        return seen
      case "TimedOut":
        yield* launched.kill
        return yield* notStarted("aegisd did not start within timeout")
      case "Ended": {
        // Another `up` was faster where the lock is taken: then its daemon is the one to wait for.
        const locked = (yield* launched.logTail).includes("is locked by another process")
        const other = locked ? yield* Effect.timeoutOption(awaitSome(look), othersLimit) : yield* look
        return Option.isSome(other) ? other.value : yield* notStarted(`aegisd ended at once (${seen.reason})`)
      }
    }
  })

/** Tells a daemon to end and waits until it has (S-040, S-042). */
export const stopDaemon = (pid: number): Effect.Effect<void, DaemonNotStopped | HostFailed, Files> =>
  Effect.gen(function* () {
    yield* Effect.try({
      try: () => process.kill(pid, "SIGTERM"),
      catch: (cause) =>
        new HostFailed({
          message: `cannot stop aegisd (pid ${pid}): ${String(cause)}`,
          remedy: "stop it as the user who started it"
        })
    })
    yield* awaitEnd(pid)
  })

/** Waits until a daemon that was told to end has ended. */
export const awaitEnd = (pid: number): Effect.Effect<void, DaemonNotStopped, FileSystem.FileSystem> =>
  isAlive(pid).pipe(
    Effect.map((alive) => (alive ? Option.none() : Option.some(undefined))),
    awaitSome,
    Effect.timeoutFail({ duration: stopLimit, onTimeout: () => new DaemonNotStopped({ pid }) })
  )

/** What `down` has to do: the pid to stop, or what the file of a daemon that is not there held. */
export const stoppable: Effect.Effect<
  { readonly _tag: "Pid"; readonly pid: number } | { readonly _tag: "Nothing"; readonly invalidFile: boolean },
  never,
  Files
> = Effect.gen(function* () {
  const state = yield* daemonState
  if (state._tag === "Running") return { _tag: "Pid", pid: state.pid }
  const living = yield* livingPid
  if (Option.isSome(living)) return { _tag: "Pid", pid: living.value }
  return { _tag: "Nothing", invalidFile: Option.exists(state.pidFile, (text) => !/^[0-9]+$/.test(text.trim())) }
})
