/**
 * The daemon's process, as its starter sees it: detached, its output in a log.
 */
import { AegisHome } from "@aegis/client"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { closeSync, constants, fstatSync, openSync } from "node:fs"
import { Caller, daemonEnvironment } from "./Caller.ts"
import { HostFailed } from "./Errors.ts"

export interface Launched {
  readonly pid: number | undefined
  /** Succeeds with how it ended, if it does. */
  readonly ended: Effect.Effect<string>
  readonly kill: Effect.Effect<void>
  readonly log: string
  /** The last ten lines of what it has written. */
  readonly logTail: Effect.Effect<string>
}

/** Starts `program` in a session of its own, with a clean environment and `/` as its directory, writing to `data/aegisd.log`. */
export const launch = (
  program: string
): Effect.Effect<Launched, HostFailed, AegisHome | FileSystem.FileSystem | Caller> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { env } = yield* Caller
    const { path } = yield* AegisHome
    const log = `${path}/data/aegisd.log`
    const hostFailed = (message: string) =>
      new HostFailed({ message, remedy: `check that ${path} is yours and writable` })
    for (const directory of [path, `${path}/data`]) {
      yield* fs
        .makeDirectory(directory, { recursive: true, mode: 0o700 })
        .pipe(Effect.mapError((error) => hostFailed(error.message)))
    }
    const { child, ended, logStart } = yield* Effect.try({
      try: () => start(program, log, daemonEnvironment(env)),
      catch: (cause) => hostFailed(cause instanceof Error ? cause.message : String(cause))
    })
    return {
      pid: child.pid,
      ended: Effect.promise(() => ended),
      kill: Effect.sync(() => child.kill("SIGTERM")),
      log,
      logTail: fs.readFile(log).pipe(
        Effect.map((bytes) => lastLines(Buffer.from(bytes.subarray(logStart)).toString("utf8"))),
        Effect.orElseSucceed(() => "")
      )
    }
  })

const start = (program: string, log: string, env: Record<string, string>) => {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW
  const output = openSync(log, flags, 0o600)
  try {
    const logStart = fstatSync(output).size
    const child = spawn(program, [], { cwd: "/", env, detached: true, stdio: ["ignore", output, output] })
    const ended = new Promise<string>((done) => {
      child.once("exit", (code, signal) => done(signal === null ? `exit code ${code}` : signal))
      child.once("error", (error) => done(error.message))
    })
    child.unref()
    return { child, ended, logStart }
  } finally {
    closeSync(output)
  }
}

const lastLines = (text: string) => text.trimEnd().split("\n").slice(-10).join("\n")
