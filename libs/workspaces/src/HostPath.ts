import { WorkspaceRefused } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as os from "node:os"

/** Directories of the system: sharing one would hand the guest the host (T-134). */
const systemDirectories = [
  "/proc",
  "/sys",
  "/dev",
  "/boot",
  "/etc",
  "/run",
  "/bin",
  "/sbin",
  "/lib",
  "/lib64",
  "/usr",
  "/var"
]

/** Of the system directories, where people do keep work. */
const exceptions = ["/var/tmp", "/usr/src", "/usr/local", "/run/user", "/run/media"]

/**
 * The real path of a directory of the host that its user may share, resolved once, so that what was checked is what is served
 * (T-136). Refuses what is no directory, what the user cannot enter, and what would expose the system, the whole home or our own
 * files.
 *
 * @param home our own home, `~/.aegis`: neither it nor a parent nor a child of it may be shared.
 */
export const checkHostPath = (path: string, home: string): Effect.Effect<string, WorkspaceRefused> =>
  Effect.gen(function* () {
    const refuse = (reason: string, remedy: string) => new WorkspaceRefused({ workspace: path, reason, remedy })
    if (/[\n\r]/.test(path)) return yield* refuse("the path holds a line break", "rename the directory")
    const real = yield* Effect.tryPromise({
      try: () => fs.realpath(path),
      catch: () =>
        refuse(
          "there is no such directory",
          `mkdir -p '${path}', or give a name without a slash for a workspace of its own`
        )
    })
    const found = yield* Effect.tryPromise({
      try: () => fs.stat(real),
      catch: (cause) => refuse(String(cause), "check its mode")
    })
    if (!found.isDirectory()) return yield* refuse("it is not a directory", "share the directory that holds it")
    yield* Effect.tryPromise({
      try: () => fs.access(real, fs.constants.R_OK | fs.constants.X_OK),
      catch: () => refuse("you may not read it", "check its owner and mode")
    })
    const ours = yield* Effect.promise(() => fs.realpath(home).catch(() => home))
    if (within(real, ours) || within(ours, real)) {
      return yield* refuse(
        "it holds, or is in, the directory of aegis itself",
        "share a directory beside it, or a named workspace"
      )
    }
    if (real === "/" || real === os.homedir()) {
      return yield* refuse("it is too much to share", "share the one directory below it that the guest needs")
    }
    if (
      systemDirectories.some((directory) => within(real, directory)) &&
      !exceptions.some((one) => within(real, one) && real !== one)
    ) {
      return yield* refuse("it belongs to the system", "copy what the guest needs into a directory of your own")
    }
    return real
  })

/** Whether `path` is `directory` or lies in it; compares whole components (T-146). */
const within = (path: string, directory: string) =>
  path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`)
