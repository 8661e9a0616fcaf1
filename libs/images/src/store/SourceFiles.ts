/**
 * The files of a local image source by their names, wherever they are: in a directory or in an archive.
 */
import { ImageInvalid, ImageNotFound, ImageTooLarge, type PullError } from "@aegis/domain"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { attempt, bytesOf, isAbsent, openRegular } from "./StoreFile.ts"

/** An open file of a source. */
export interface SourceFile {
  readonly size: number
  /** A piece holds until the next is asked for. */
  readonly bytes: (from: number) => Stream.Stream<Uint8Array, PullError>
}

export interface SourceFiles {
  /** `ImageInvalid` where there is no such regular file. */
  readonly open: (name: string) => Effect.Effect<SourceFile, PullError, Scope.Scope>
}

/** The whole of a small file. */
export const readSmall = (
  files: SourceFiles,
  reference: string,
  name: string,
  limit: number
): Effect.Effect<Uint8Array, PullError> =>
  Effect.gen(function* () {
    const file = yield* files.open(name)
    if (file.size > limit) return yield* new ImageTooLarge({ reference, what: name, limit: `${limit} bytes` })
    const pieces: Array<Uint8Array> = []
    yield* Stream.runForEach(file.bytes(0), (piece) => Effect.sync(() => pieces.push(Buffer.from(piece))))
    return Buffer.concat(pieces)
  }).pipe(Effect.scoped)

/** Files below `directory`. A link among them is followed: what is read is checked against its digest, and is its user's own. */
export const directoryFiles = (reference: string, directory: string): SourceFiles => ({
  open: (name) =>
    Effect.gen(function* () {
      const file = path.join(directory, name)
      const handle = yield* openFile(
        file,
        () => new ImageInvalid({ reference, what: "archive", reason: `it has no ${name}` })
      )
      const { size } = yield* attempt(file, () => handle.stat())
      return { size, bytes: (from) => bytesOf(file, handle, from, size) }
    })
})

/** Opens a file of the user's; the scope's end closes it. */
export const openFile = (file: string, absent: () => PullError): Effect.Effect<fs.FileHandle, PullError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.flatMap(
      attempt(file, () =>
        openRegular(file).catch((cause) => {
          if (isAbsent(cause)) return undefined
          throw cause
        })
      ),
      (handle) => (handle === undefined ? Effect.fail(absent()) : Effect.succeed(handle))
    ),
    (handle) => Effect.promise(() => handle.close())
  )

/** The source itself is not there. */
export const sourceAbsent = (reference: string, file: string) => () =>
  new ImageNotFound({ reference, reason: `there is no ${file}` })

/** What a file looks like from outside: equal as long as nobody writes to it or replaces it. None where there is none. */
export const fingerprintOf = (file: string): Effect.Effect<string | undefined, PullError> =>
  attempt(file, async () => {
    try {
      const { ctimeNs, dev, ino, mtimeNs, size } = await fs.stat(file, { bigint: true })
      return [dev, ino, size, mtimeNs, ctimeNs].join(":")
    } catch (cause) {
      if (isAbsent(cause)) return undefined
      throw cause
    }
  })
