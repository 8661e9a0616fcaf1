/**
 * A directory that is written to part by part: each part is opened in the one before it, which is held open, so that nobody who swaps a
 * directory for a symlink meanwhile leads us elsewhere.
 */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

interface Held {
  readonly name: string
  readonly handle: fs.FileHandle
}

/** Linux has no call of Node's for a name in an open directory but this. */
const inside = ({ fd }: fs.FileHandle, name: string) => `/proc/self/fd/${fd}/${name}`

export class OpenTree {
  readonly #root: fs.FileHandle
  /** The directories that lead to the last one that was used. */
  #open: Array<Held> = []

  private constructor(root: fs.FileHandle) {
    this.#root = root
  }

  /** A directory that is there, whatever leads to it: its user has named it. */
  static async at(directory: string): Promise<OpenTree> {
    return new OpenTree(await fs.open(directory, O_RDONLY | O_DIRECTORY))
  }

  /** Makes it, and those that it is in; one that is there is used. A symlink in its place is an error. */
  async directory(parts: ReadonlyArray<string>): Promise<fs.FileHandle> {
    const shared = this.#open.findIndex(({ name }, at) => parts[at] !== name)
    const keep = shared === -1 ? Math.min(this.#open.length, parts.length) : shared
    for (const { handle } of this.#open.splice(keep)) await handle.close()
    for (const name of parts.slice(keep)) {
      const at = inside(this.#last, name)
      await fs.mkdir(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error
      })
      this.#open.push({ name, handle: await fs.open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) })
    }
    return this.#last
  }

  /** A new file; a file or a symlink that is in its place is removed, and what it was linked to stays as it is. */
  async create(parts: ReadonlyArray<string>, mode: number): Promise<fs.FileHandle> {
    const at = await this.#vacant(parts)
    return fs.open(at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
  }

  async symlink(parts: ReadonlyArray<string>, target: string): Promise<void> {
    await fs.symlink(target, await this.#vacant(parts))
  }

  async close(): Promise<void> {
    for (const { handle } of this.#open.splice(0)) await handle.close()
    await this.#root.close()
  }

  async #vacant(parts: ReadonlyArray<string>): Promise<string> {
    const at = inside(await this.directory(parts.slice(0, -1)), parts.at(-1) ?? "")
    await fs.unlink(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error
    })
    return at
  }

  get #last(): fs.FileHandle {
    return this.#open.at(-1)?.handle ?? this.#root
  }
}
