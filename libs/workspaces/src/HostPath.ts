/**
 * Which directories of the host a guest may be given.
 */
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

/** Where our own files are: nothing of it is shared but the named workspaces' directories. */
export interface OwnPlaces {
  /** `~/.aegis`. */
  readonly home: string
  /** The parent of the named workspaces, in `home`. */
  readonly workspaces: string
}

/**
 * The real path of a directory of the host that its user may share, resolved once, so that what was checked is what is served
 * (T-136). Refuses what is no directory, what the user cannot use, and what would expose the system, the whole home or our own
 * files (T-11, T-134, T-139).
 */
export const checkHostPath = (
  request: { readonly path: string; readonly readOnly: boolean },
  own: OwnPlaces
): Effect.Effect<string, WorkspaceRefused> =>
  Effect.gen(function* () {
    const { path, readOnly } = request
    const refuse = (reason: string, remedy: string) => new WorkspaceRefused({ workspace: path, reason, remedy })
    if (/[\n\r]/.test(path)) return yield* refuse("the path holds a line break", "rename the directory")
    const real = yield* Effect.tryPromise({
      try: () => fs.realpath(path),
      catch: (cause) => {
        const [reason, remedy] = whyNot(cause, path)
        return refuse(reason, remedy)
      }
    })
    const found = yield* Effect.tryPromise({
      try: () => fs.stat(real),
      catch: (cause) => refuse(String(cause), "check its mode")
    })
    if (!found.isDirectory()) return yield* refuse("it is not a directory", "share the directory that holds it")
    const ours = yield* resolved(own.home)
    const named = yield* resolved(own.workspaces)
    const isNamed = real.startsWith(`${named}/`) && !real.startsWith(`${named}/${temporaryPrefix}`)
    if (within(ours, real) || (within(real, ours) && !isNamed)) {
      return yield* refuse(
        "it holds, or is in, the directory of aegis itself",
        "share a directory beside it, or a named workspace"
      )
    }
    if (within(yield* resolved(os.homedir()), real)) {
      return yield* refuse("it is too much to share", "share the one directory below it that the guest needs")
    }
    if (
      systemDirectories.some((directory) => within(real, directory)) &&
      !exceptions.some((one) => within(real, one) && real !== one)
    ) {
      return yield* refuse("it belongs to the system", "copy what the guest needs into a directory of your own")
    }
    yield* Effect.tryPromise({
      try: () => fs.access(real, fs.constants.R_OK | fs.constants.X_OK),
      catch: () => refuse("you may not read it", "check its owner and mode")
    })
    if (!readOnly) {
      yield* Effect.tryPromise({
        try: () => fs.access(real, fs.constants.W_OK),
        catch: () => refuse("you may not write to it", `check its owner and mode, or share it read-only: ${path}:ro`)
      })
    }
    return real
  })

/** How the directories of temporary workspaces begin; no named workspace may begin so. */
export const temporaryPrefix = "run-inst-"

const whyNot = (cause: unknown, path: string): readonly [string, string] => {
  const text = String(cause)
  if (text.includes("EACCES")) return ["you may not enter a directory above it", "check their owners and modes"]
  if (text.includes("ELOOP")) return ["it is a symlink that leads to itself", "give the directory's real path"]
  if (text.includes("ENAMETOOLONG")) return ["the path is too long", "give a shorter one"]
  return ["there is no such directory", `mkdir -p '${path}', or give a name without a slash for a workspace of its own`]
}

const resolved = (path: string) => Effect.promise(() => fs.realpath(path).catch(() => path))

/** Whether `path` is `directory` or lies in it; compares whole components (T-146). */
const within = (path: string, directory: string) =>
  path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`)
