/**
 * A lock between processes that the kernel gives back when its holder dies.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import { constants } from "node:fs"
import { cleanEnvironment } from "./Process.ts"

/** Another process holds it. */
export class LockHeld extends Data.TaggedError("LockHeld")<{ readonly path: string }> {
  override get message() {
    return `${this.path} is locked by another process`
  }
  get remedy() {
    return "wait for the other process, or end it"
  }
}

/** The lock could not be asked for. */
export class LockFailed extends Data.TaggedError("LockFailed")<{ readonly path: string; readonly reason: string }> {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
  get remedy() {
    return "the program flock (package util-linux) must be installed, and the directory writable"
  }
}

/**
 * Takes an exclusive flock(2) on `path` until the scope closes or the process ends. Node has no flock: util-linux's program
 * takes it on a descriptor it shares with us, and a flock belongs to the open file description, not to the process that took it.
 *
 * @param wait whether to wait for another holder instead of failing with `LockHeld`.
 */
export const acquire = (path: string, wait = false): Effect.Effect<void, LockHeld | LockFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const handle = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => fs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600),
        catch: (cause) => new LockFailed({ path, reason: String(cause) })
      }),
      (open) => Effect.promise(() => open.close())
    )
    const code = yield* Effect.async<number | null, LockFailed>((resume) => {
      const child = spawn("flock", [wait ? "-x" : "-nx", "3"], {
        env: cleanEnvironment(),
        stdio: ["ignore", "ignore", "ignore", handle.fd]
      })
      child.once("error", (error) => resume(new LockFailed({ path, reason: error.message })))
      child.once("exit", (status) => resume(Effect.succeed(status)))
      return Effect.sync(() => child.kill("SIGKILL"))
    })
    if (code === 1) return yield* new LockHeld({ path })
    if (code !== 0) return yield* new LockFailed({ path, reason: `flock ended with ${code}` })
  })
