/**
 * Files that are whole or not there: written under another name, synced, renamed.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"

export class FileNotWritten extends Data.TaggedError("FileNotWritten")<{
  readonly path: string
  readonly code: string
  readonly message: string
}> {}

/** Replaces `file` with `bytes` in one step that survives a crash: temporary name, fsync, rename, fsync of the directory. */
export const write = (file: string, bytes: Uint8Array, mode: number): Effect.Effect<void, FileNotWritten> =>
  Effect.tryPromise({
    try: async () => {
      const temporary = `${file}.tmp-${process.pid}-${randomBytes(4).toString("hex")}`
      try {
        const handle = await fs.open(temporary, "wx", mode)
        try {
          await handle.writeFile(bytes)
          await handle.sync()
        } finally {
          await handle.close()
        }
        await fs.rename(temporary, file)
      } catch (error) {
        await fs.rm(temporary, { force: true })
        throw error
      }
      await syncDirectory(path.dirname(file))
    },
    catch: (cause) => {
      const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
      return new FileNotWritten({ path: file, code: error.code ?? "", message: `${file}: ${error.message}` })
    }
  })

/** Makes a rename in `directory` durable. */
export const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await fs.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
