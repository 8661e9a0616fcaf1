/**
 * What a directory takes that a guest may be writing to: each directory is opened once, without following a link, and its entries are
 * looked at through that descriptor, so that a link put in a directory's place leads nowhere.
 */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

export interface Measure {
  /** Blocks that are taken, times their size: a sparse file counts what is there of it. */
  readonly bytes: number
  readonly entries: number
  /** False where counting was given up at `mostEntries`, or something could not be read. */
  readonly complete: boolean
}

/** A guest can make more files than anybody wants to wait for. */
export const mostEntries = 200_000

const deepest = 64

/** Never fails: what cannot be read, or is gone by then, is not counted. */
export const measure = (root: string, most = mostEntries): Effect.Effect<Measure> =>
  Effect.promise(async (signal) => {
    const found = { bytes: 0, entries: 0, complete: true }
    const counted = new Set<string>()
    const walk = async (directory: string, depth: number): Promise<void> => {
      const handle = await fs.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
      try {
        const opened = process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : directory
        for await (const { name } of await fs.opendir(opened)) {
          if (signal.aborted || found.entries >= most) {
            found.complete = false
            return
          }
          const stats = await fs.lstat(`${opened}/${name}`)
          found.entries++
          const file = `${stats.dev}:${stats.ino}`
          if (stats.nlink === 1 || stats.isDirectory() || !counted.has(file)) found.bytes += stats.blocks * blockBytes
          if (stats.nlink > 1 && !stats.isDirectory()) counted.add(file)
          if (!stats.isDirectory()) continue
          if (depth === deepest) found.complete = false
          else await walk(`${opened}/${name}`, depth + 1).catch(incomplete)
        }
      } finally {
        await handle.close()
      }
    }
    const incomplete = () => void (found.complete = false)
    await walk(root, 0).catch(incomplete)
    return found
  })

/** The unit of `st_blocks`, whatever the file system's own: stat(2). */
const blockBytes = 512
