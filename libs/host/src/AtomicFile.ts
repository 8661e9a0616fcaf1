/**
 * Files that are whole or not there: written under another name, synced, renamed.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { crashPoint } from "./CrashPoint.ts"

export class FileNotWritten extends Data.TaggedError("FileNotWritten")<{
  readonly path: string
  readonly code: string
  readonly message: string
}> {
  get remedy() {
    return this.code === "ENOSPC" || this.code === "EDQUOT"
      ? `free some space on the file system that holds ${this.path}`
      : `check the owner and mode of ${path.dirname(this.path)}`
  }
}

/** It is not there, is no regular file, is too large, or does not hold what it should. */
export class FileNotRead extends Data.TaggedError("FileNotRead")<{
  readonly path: string
  readonly code: string
  readonly message: string
}> {
  get remedy() {
    return `look at ${this.path}; it may be removed, and is then made anew`
  }
}

/** Replaces `file` with `bytes` in one step that survives a crash: temporary name, fsync, rename, fsync of the directory. */
export const write = (file: string, bytes: Uint8Array, mode: number): Effect.Effect<void, FileNotWritten> =>
  Effect.tryPromise({
    try: async () => {
      const temporary = temporaryName(file)
      try {
        await writeWhole(temporary, bytes, mode)
        await fs.rename(temporary, file)
      } catch (error) {
        await fs.rm(temporary, { force: true })
        throw error
      }
      await syncDirectory(path.dirname(file))
    },
    catch: notWritten(file)
  })

/**
 * Makes `file` with `bytes` where there is none, in steps that survive a crash: it is whole or not there. Succeeds with whether it is
 * ours: one that somebody else has made meanwhile stays.
 */
export const create = (file: string, bytes: Uint8Array, mode: number): Effect.Effect<boolean, FileNotWritten> =>
  Effect.gen(function* () {
    const temporary = temporaryName(file)
    const attempt = <A>(step: () => Promise<A>) => Effect.tryPromise({ try: step, catch: notWritten(file) })
    const made = yield* Effect.gen(function* () {
      yield* attempt(() => writeWhole(temporary, bytes, mode))
      yield* crashPoint("a new file is whole under another name")
      const linked = yield* attempt(() => fs.link(temporary, file)).pipe(
        Effect.as(true),
        Effect.catchIf(
          ({ code }) => code === "EEXIST",
          () => Effect.succeed(false)
        )
      )
      yield* crashPoint("a new file has its name")
      return linked
    }).pipe(Effect.ensuring(Effect.promise(() => fs.rm(temporary, { force: true }))))
    yield* attempt(() => syncDirectory(path.dirname(file)))
    return made
  }).pipe(Effect.uninterruptible)

/** Removes what writes of `file` that were killed have left behind. Nobody else may be writing it. */
export const sweep = (file: string): Effect.Effect<void, FileNotWritten> =>
  Effect.tryPromise({
    try: async () => {
      const directory = path.dirname(file)
      const left = (await fs.readdir(directory)).filter((name) => name.startsWith(`${path.basename(file)}.tmp-`))
      for (const name of left) await fs.rm(path.join(directory, name), { force: true })
    },
    catch: notWritten(file)
  })

const temporaryName = (file: string) => `${file}.tmp-${process.pid}-${randomBytes(4).toString("hex")}`

const writeWhole = async (file: string, bytes: Uint8Array, mode: number) => {
  const handle = await fs.open(file, "wx", mode)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const notWritten = (file: string) => (cause: unknown) => {
  const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
  return new FileNotWritten({ path: file, code: error.code ?? "", message: `${file}: ${error.message}` })
}

/** Our own records are small: what is larger is not ours. */
const maxJsonBytes = 1024 * 1024

/** Reads a JSON file of ours and decodes it; does not follow a symlink, does not wait on a FIFO, reads at most 1 MiB, or `maxBytes`. */
export const readJson = <A, I>(
  file: string,
  schema: Schema.Schema<A, I>,
  maxBytes = maxJsonBytes
): Effect.Effect<A, FileNotRead> =>
  Effect.tryPromise({
    try: async () => {
      const handle = await fs.open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      try {
        const found = await handle.stat()
        if (!found.isFile()) throw new Error("is not a regular file")
        if (found.size > maxBytes) throw new Error(`has ${found.size} bytes, more than ${maxBytes}`)
        return await handle.readFile("utf8")
      } finally {
        await handle.close()
      }
    },
    catch: (cause) => {
      const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
      return new FileNotRead({ path: file, code: error.code ?? "", message: `${file}: ${error.message}` })
    }
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(
        Schema.decode(Schema.parseJson(schema))(text),
        ({ message }) => new FileNotRead({ path: file, code: "", message: `${file}: ${message}` })
      )
    )
  )

/** Makes a rename in `directory` durable. */
export const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await fs.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
