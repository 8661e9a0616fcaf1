/**
 * Directories of our own: private from the start, removed without ever leaving them.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"

export { removeTree, TreeNotRemoved } from "./RemoveTree.ts"

export class DirectoryRefused extends Data.TaggedError("DirectoryRefused")<{
  readonly path: string
  readonly reason: string
}> {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
  get remedy() {
    return `check who owns ${this.path} and what it is`
  }
}

const refused = (directory: string) => (cause: unknown) =>
  new DirectoryRefused({ path: directory, reason: cause instanceof Error ? cause.message : String(cause) })

/**
 * Makes a directory (and its parents) that only this user can enter. Refuses a symlink, another user's directory, and one below
 * a directory that another user has put where everybody may write, such as /tmp.
 */
export const ensurePrivate = (directory: string): Effect.Effect<void, DirectoryRefused> =>
  Effect.gen(function* () {
    yield* Effect.tryPromise({
      try: () => fs.mkdir(directory, { recursive: true, mode: 0o700 }),
      catch: refused(directory)
    })
    const found = yield* lstat(directory)
    if (!found.isDirectory()) {
      const reason = found.isSymbolicLink() ? "is a symbolic link" : "is not a directory"
      return yield* new DirectoryRefused({ path: directory, reason })
    }
    if (found.uid !== ourUid) {
      return yield* new DirectoryRefused({ path: directory, reason: `belongs to user ${found.uid}` })
    }
    yield* checkAncestors(path.dirname(directory))
    if ((found.mode & 0o777) !== 0o700) {
      yield* Effect.tryPromise({ try: () => fs.chmod(directory, 0o700), catch: refused(directory) })
    }
  })

const ourUid = process.getuid?.() ?? 0

const lstat = (file: string) => Effect.tryPromise({ try: () => fs.lstat(file), catch: refused(file) })

/** Whoever owns an ancestor can exchange what is below it; in a directory that all may write to, anybody may be that owner. */
const checkAncestors = (directory: string): Effect.Effect<void, DirectoryRefused> =>
  Effect.gen(function* () {
    const parent = path.dirname(directory)
    if (parent === directory) return
    const [found, above] = yield* Effect.all([lstat(directory), lstat(parent)])
    if ((above.mode & 0o002) !== 0 && found.uid !== ourUid && found.uid !== 0) {
      return yield* new DirectoryRefused({ path: directory, reason: `belongs to user ${found.uid}` })
    }
    yield* checkAncestors(parent)
  })
