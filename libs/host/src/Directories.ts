/**
 * Directories of our own: private from the start, removed without ever leaving them.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"

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

/** Makes a directory (and its parents) that only this user can enter; refuses a symlink and another user's. */
export const ensurePrivate = (directory: string): Effect.Effect<void, DirectoryRefused> =>
  Effect.gen(function* () {
    yield* Effect.tryPromise({
      try: () => fs.mkdir(directory, { recursive: true, mode: 0o700 }),
      catch: refused(directory)
    })
    const found = yield* Effect.tryPromise({ try: () => fs.lstat(directory), catch: refused(directory) })
    if (!found.isDirectory()) return yield* new DirectoryRefused({ path: directory, reason: "is not a directory" })
    if (process.getuid !== undefined && found.uid !== process.getuid()) {
      return yield* new DirectoryRefused({ path: directory, reason: `belongs to user ${found.uid}` })
    }
    if ((found.mode & 0o077) !== 0) {
      yield* Effect.tryPromise({ try: () => fs.chmod(directory, 0o700), catch: refused(directory) })
    }
  })

/**
 * Removes a tree. Links are removed, never followed; another file system mounted in it is left alone, and named in the error;
 * directories that their owner may not read or write are opened up first (T-142).
 */
export const removeTree = (root: string): Effect.Effect<void, DirectoryRefused> =>
  Effect.tryPromise({
    try: async () => {
      const top = await fs.lstat(root).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined
        throw error
      })
      if (top !== undefined) await removeEntry(root, top.dev)
    },
    catch: refused(root)
  })

const removeEntry = async (entry: string, device: number): Promise<void> => {
  const found = await fs.lstat(entry)
  if (!found.isDirectory()) return fs.unlink(entry)
  if (found.dev !== device) throw new Error(`${entry} is another file system's mount point`)
  if ((found.mode & 0o700) !== 0o700) await fs.chmod(entry, 0o700)
  for (const name of await fs.readdir(entry)) await removeEntry(path.join(entry, name), device)
  await fs.rmdir(entry)
}
