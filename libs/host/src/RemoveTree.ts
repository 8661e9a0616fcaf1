/**
 * Removing a tree that somebody else has filled.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { constants, type Stats } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"

export class TreeNotRemoved extends Data.TaggedError("TreeNotRemoved")<{
  readonly path: string
  readonly reason: string
}> {
  override get message() {
    return `${this.path} was not removed: ${this.reason}`
  }
  get remedy() {
    return `unmount what is mounted there, then remove ${this.path}`
  }
}

/**
 * Removes a tree; nothing is done where there is none. Symlinks are removed, never followed; nothing is removed where another file
 * system or a bind mount is mounted in it; directories that their owner may not enter are opened up first; a tree deeper than a
 * path can be long is removed too (T-142).
 */
export const removeTree = (root: string): Effect.Effect<void, TreeNotRemoved> =>
  Effect.tryPromise({
    try: async () => {
      const found = await fs.lstat(root).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined
        throw error
      })
      if (found === undefined) return
      if (!found.isDirectory()) return fs.unlink(root)
      await refuseMounts(await fs.realpath(root))
      await withDirectory(root, found.dev, (top) => empty(top, { path: top, device: found.dev }, 0))
      await fs.rmdir(root)
    },
    catch: (cause) => new TreeNotRemoved({ path: root, reason: cause instanceof Error ? cause.message : String(cause) })
  })

/** Linux reaches a directory by its open descriptor, which no exchange of a name can lead astray and no length can break. */
const byDescriptor = process.platform === "linux"

/** Linux: a descriptor that stands for a file without opening it, which no mode forbids: open(2). Node has no name for it. */
const O_PATH = 0o10000000

/**
 * Opens a directory, also one that its owner may not enter. What is looked at, opened up and read is one and the same directory,
 * whatever is put in its name's place meanwhile: chmod(2) by its name would follow a symlink that has come there.
 */
const withDirectory = async (
  directory: string | Buffer,
  device: number,
  use: (path: string) => Promise<void>
): Promise<void> => {
  if (!byDescriptor) {
    await openUp(directory, await fs.lstat(directory), device)
    return use(directory.toString())
  }
  const found = await fs.open(directory, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const itself = `/proc/self/fd/${found.fd}`
    await openUp(itself, await found.stat(), device)
    const handle = await fs.open(itself, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await use(`/proc/self/fd/${handle.fd}`)
    } finally {
      await handle.close()
    }
  } finally {
    await found.close()
  }
}

const openUp = async (directory: string | Buffer, found: Stats, device: number) => {
  if (found.dev !== device) throw new Error(`${directory.toString()} is on another file system`)
  if ((found.mode & 0o700) !== 0o700) await fs.chmod(directory, 0o700)
}

interface Top {
  readonly path: string
  readonly device: number
}

/** Two descriptors are open per level. What lies deeper is moved up to the top, where its depth begins anew. */
const maxDepth = 64

const empty = async (directory: string, top: Top, depth: number): Promise<void> => {
  // Moving puts new names into the top directory, so it is read until nothing is left.
  for (;;) {
    const entries = await fs.readdir(directory, { withFileTypes: true, encoding: "buffer" })
    if (entries.length === 0) return
    for (const entry of entries) {
      // A name is bytes: one that is not UTF-8 would not survive as a string.
      const file = Buffer.concat([Buffer.from(`${directory}/`), entry.name])
      if (!entry.isDirectory()) await fs.unlink(file)
      else await removeDirectory(file, top, depth + 1)
    }
    if (depth > 0) return
  }
}

const removeDirectory = async (directory: Buffer, top: Top, depth: number): Promise<void> => {
  if (depth > maxDepth) {
    // To be moved, it must be writable: its ".." changes.
    return withDirectory(directory, top.device, () => fs.rename(directory, `${top.path}/.${randomUUID()}`))
  }
  await withDirectory(directory, top.device, (opened) => empty(opened, top, depth))
  await fs.rmdir(directory)
}

/** A bind mount has its file system's own device number: only the mount table tells it from a directory. */
const refuseMounts = async (root: string): Promise<void> => {
  if (!byDescriptor) return
  const table = await fs.readFile("/proc/self/mountinfo", "utf8")
  for (const line of table.split("\n")) {
    // The fifth field is the mount point; blanks and line breaks in it are written in octal: proc(5).
    const point = (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8))
    )
    if (point === root || point.startsWith(`${root}/`)) throw new Error(`${path.normalize(point)} is a mount point`)
  }
}
