/**
 * Files of the image store: what the operating system says about them, in the words of the domain.
 */
import { DiskFull, ImageStoreFailed } from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"

export type StoreError = DiskFull | ImageStoreFailed

const full = ["ENOSPC", "EDQUOT"]

/** A failed file operation: `DiskFull` where there is no room (T-84), `ImageStoreFailed` otherwise. */
export const storeError = (file: string, cause: unknown): StoreError => {
  const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
  return full.includes(error.code ?? "")
    ? new DiskFull({ path: file })
    : new ImageStoreFailed({ path: file, reason: error.message })
}

/** A file operation of the store. */
export const attempt = <A>(file: string, work: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({ try: work, catch: (cause) => storeError(file, cause) })

/** Replaces a small file in one step that survives a crash. */
export const replace = (file: string, bytes: Uint8Array): Effect.Effect<void, StoreError> =>
  Effect.mapError(AtomicFile.write(file, bytes, 0o600), (error) =>
    full.includes(error.code)
      ? new DiskFull({ path: file })
      : new ImageStoreFailed({ path: file, reason: error.message })
  )

/** A regular file's size; none where there is none. */
export const sizeOf = async (file: string): Promise<number | undefined> => {
  try {
    const found = await fs.lstat(file)
    return found.isFile() ? found.size : undefined
  } catch (cause) {
    if (isAbsent(cause)) return undefined
    throw cause
  }
}

/** Whether an error says that there is no such file. */
export const isAbsent = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")

/** Opens a regular file for reading. Neither a FIFO nor a device is waited on; a directory and a device are refused. */
export const openRegular = async (file: string): Promise<fs.FileHandle> => {
  const handle = await fs.open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const found = await handle.stat()
  if (found.isFile()) return handle
  await handle.close()
  throw new Error(`${file} is not a regular file`)
}

const readBytes = 1024 * 1024

/**
 * A file's bytes from `start` up to `end`; a file that ends earlier ends the stream. A piece holds until the next is asked for: its
 * memory is used again.
 */
export const bytesOf = (
  file: string,
  handle: fs.FileHandle,
  start: number,
  end: number
): Stream.Stream<Uint8Array, StoreError> =>
  Stream.suspend(() => {
    const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(readBytes, end - start)))
    return Stream.paginateChunkEffect(start, (position) =>
      Effect.map(
        attempt(file, () => handle.read(buffer, 0, Math.min(buffer.length, end - position), position)),
        ({ bytesRead }) => {
          const next = position + bytesRead
          const isLast = bytesRead === 0 || next >= end
          return [Chunk.of<Uint8Array>(buffer.subarray(0, bytesRead)), isLast ? Option.none() : Option.some(next)]
        }
      )
    )
  })

/** The most that one writev(2) takes is 1024 pieces. */
const maxPieces = 256

/** Writes all of `pieces` from `position` on: one write may take a part only, when the disk fills up. */
export const writeAll = async (
  handle: fs.FileHandle,
  pieces: ReadonlyArray<Uint8Array>,
  position: number
): Promise<void> => {
  const total = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
  if (total === 0) return
  const { bytesWritten } = await handle.writev(pieces.length > maxPieces ? [Buffer.concat(pieces)] : pieces, position)
  if (bytesWritten === total) return
  await writeAll(handle, [Buffer.concat(pieces).subarray(bytesWritten)], position + bytesWritten)
}

/** Removes what a killed process has left half written in `directory`: `NAME.tmp-…` (T-85). */
export const removeLeftovers = (directory: string): Effect.Effect<void, StoreError> =>
  attempt(directory, async () => {
    for (const name of await fs.readdir(directory)) {
      if (name.includes(".tmp-")) await fs.rm(path.join(directory, name), { force: true })
    }
  })
