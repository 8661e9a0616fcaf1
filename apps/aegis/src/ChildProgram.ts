/**
 * Programs that the CLI starts and waits for.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { createInterface } from "node:readline"

/** What a program prints, standard error included, if it can be run and ends well within two seconds. */
export const ask = (program: string, args: ReadonlyArray<string>): Effect.Effect<Option.Option<string>> =>
  Effect.async<Option.Option<string>>((resume) => {
    const child = execFile(
      program,
      args,
      { timeout: 2_000, killSignal: "SIGKILL", maxBuffer: 64 * 1024 },
      (error, stdout, stderr) =>
        resume(Effect.succeed(error === null ? Option.some(`${stdout}${stderr}`.trim()) : Option.none()))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** A program that could not be started, or did not end with 0. */
export class ChildFailed extends Data.TaggedError("ChildFailed")<{
  readonly reason: string
  /** The end of its standard error. */
  readonly stderr: string
}> {
  override get message() {
    return this.reason
  }
}

const stderrLimit = 4096

/** How long a child may clean up after SIGTERM before it is killed. */
const graceMillis = 15_000

/**
 * The lines of a program's standard output, while it runs. Ends when it ends with 0. An interruption sends SIGTERM and waits, so
 * that the child can leave nothing behind.
 */
export const lines = (
  program: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
): Stream.Stream<string, ChildFailed> =>
  Stream.asyncScoped<string, ChildFailed>((emit) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] })
        let stderr = ""
        const ended = new Promise<void>((done) => {
          child.once("error", (error) => {
            void emit.fail(new ChildFailed({ reason: error.message, stderr }))
            done()
          })
          child.once("close", (code, signal) => {
            const reason =
              signal === null ? `${program} ended with exit code ${code}` : `${program} was ended by ${signal}`
            void (code === 0 ? emit.end() : emit.fail(new ChildFailed({ reason, stderr })))
            done()
          })
        })
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          stderr = (stderr + text).slice(-stderrLimit)
        })
        createInterface({ input: child.stdout }).on("line", (line) => void emit.single(line))
        return { child, ended }
      }),
      ({ child, ended }) => Effect.promise(() => end(child, ended))
    )
  )

const end = async (child: ChildProcess, ended: Promise<void>) => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  child.kill("SIGTERM")
  const impatience = setTimeout(() => child.kill("SIGKILL"), graceMillis)
  await ended
  clearTimeout(impatience)
}
