/**
 * The files in a tar archive, read where they lie in it. Nothing is unpacked: an entry's name is only ever compared.
 */
import { ImageInvalid, ImageTooLarge, type PullError } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { pipeline } from "node:stream/promises"
import { createGunzip } from "node:zlib"
import * as tar from "tar-stream"
import { openFile, type SourceFiles, sourceAbsent } from "./SourceFiles.ts"
import { attempt, bytesOf, storeError, writeAll } from "./StoreFile.ts"

const limits = {
  /** Of the archive unpacked from gzip. */
  bytes: 64 * 1024 ** 3,
  entries: 65_536,
  nameBytes: 4096
} as const

/** Where an entry's bytes lie, or what it is a link to. */
type Entry =
  | { readonly _tag: "Bytes"; readonly start: number; readonly size: number }
  | { readonly _tag: "Link"; readonly to: string }

/**
 * Opens an archive, plain or gzipped, until the scope closes. A gzipped one is unpacked into a file without a name in `temporary`.
 */
export const archiveFiles = (
  reference: string,
  file: string,
  temporary: string
): Effect.Effect<SourceFiles, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const invalid = (reason: string) => new ImageInvalid({ reference, what: "archive", reason })
    const original = yield* openFile(file, sourceAbsent(reference, file))
    const packing = yield* attempt(file, () => packingOf(original))
    if (packing !== "none" && packing !== "gzip") return yield* invalid(`it is packed with ${packing}; unpack it first`)
    const handle = packing === "none" ? original : yield* unpack(reference, original, temporary)
    const entries = yield* Effect.tryPromise({
      try: () => indexOf(handle),
      catch: (cause) =>
        cause instanceof TooMany
          ? new ImageTooLarge({ reference, what: cause.message, limit: `${cause.limit}` })
          : invalid(cause instanceof Error ? cause.message : "it cannot be read")
    })
    return {
      open: (name) => {
        const wanted = normal(name)
        if (wanted === undefined) return invalid(`${JSON.stringify(name.slice(0, 200))} is no name of a file in it`)
        const found = entries.get(wanted)
        // Older `docker save`s have a layer that occurs twice as a link to the first; a link to a link is nobody's.
        const entry = found?._tag === "Link" ? entries.get(found.to) : found
        if (entry?._tag !== "Bytes") return invalid(`it has no file ${JSON.stringify(wanted.slice(0, 200))}`)
        const { size, start } = entry
        return Effect.succeed({ size, bytes: (from) => bytesOf(file, handle, start + from, start + size) })
      }
    }
  })

class TooMany extends Error {
  readonly limit: number
  constructor(what: string, limit: number) {
    super(what)
    this.limit = limit
  }
}

/** What tar-stream says of an entry; `byteOffset` is where its bytes begin. */
const Header = Schema.Struct({
  name: Schema.String,
  type: Schema.NullOr(Schema.String),
  size: Schema.NonNegativeInt,
  byteOffset: Schema.NonNegativeInt,
  linkname: Schema.optional(Schema.NullOr(Schema.String))
})

const indexOf = async (handle: fs.FileHandle): Promise<ReadonlyMap<string, Entry>> => {
  const found = new Map<string, Entry>()
  const extract = tar.extract()
  const source = handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1024 * 1024 })
  const read = pipeline(source, extract)
  // Its failure comes out of the loop as well.
  read.catch(() => undefined)
  let count = 0
  for await (const entry of extract) {
    if (++count > limits.entries) throw new TooMany("the number of the archive's entries", limits.entries)
    const { byteOffset, linkname, name, size, type } = Schema.decodeUnknownSync(Header)(entry.header)
    const named = normal(name)
    if (named !== undefined) {
      if (type === "file" || type === "contiguous-file") found.set(named, { _tag: "Bytes", start: byteOffset, size })
      const target = linkname ?? ""
      const to = type === "symlink" ? normal(path.posix.join(path.posix.dirname(named), target)) : normal(target)
      if ((type === "symlink" || type === "link") && to !== undefined) found.set(named, { _tag: "Link", to })
    }
    entry.resume()
  }
  await read
  return found
}

/** `a/b` of `./a/b`; none for what is absolute, leads upwards, or is too long to be meant. */
const normal = (name: string): string | undefined => {
  if (name.length > limits.nameBytes || name.startsWith("/")) return undefined
  const plain = path.posix.normalize(name)
  return plain === "." || plain === ".." || plain.startsWith("../") ? undefined : plain
}

/** How a file is packed; `none` also for what we do not know. */
export type Packing = "none" | "gzip" | "zstd" | "bzip2" | "xz"

const magics: ReadonlyArray<readonly [string, Packing]> = [
  ["1f8b", "gzip"],
  ["28b52ffd", "zstd"],
  ["425a68", "bzip2"],
  ["fd377a585a00", "xz"]
]

/** How a file is packed, by its first bytes. */
const packingOf = async (handle: fs.FileHandle): Promise<Packing> => {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(6), 0, 6, 0)
  return packingOfBytes(buffer.subarray(0, bytesRead))
}

/** How bytes are packed that begin so. */
export const packingOfBytes = (bytes: Uint8Array): Packing => {
  const hex = Buffer.from(bytes.subarray(0, 6)).toString("hex")
  return magics.find(([magic]) => hex.startsWith(magic))?.[1] ?? "none"
}

const unpack = (reference: string, packed: fs.FileHandle, temporary: string) =>
  Effect.gen(function* () {
    const file = `${temporary}/unpacked.tmp-${randomBytes(8).toString("hex")}`
    const handle = yield* Effect.acquireRelease(
      attempt(file, async () => {
        const opened = await fs.open(file, "wx+", 0o600)
        await fs.unlink(file)
        return opened
      }),
      (opened) => Effect.promise(() => opened.close())
    )
    const write = async (pieces: AsyncIterable<Uint8Array>) => {
      let total = 0
      for await (const piece of pieces) {
        await writeAll(handle, [piece], total)
        total += piece.byteLength
        if (total > limits.bytes) throw new TooMany("the unpacked archive", limits.bytes)
      }
    }
    yield* Effect.tryPromise({
      try: (signal) =>
        pipeline(
          packed.createReadStream({ start: 0, autoClose: false, highWaterMark: 1024 * 1024 }),
          createGunzip({ chunkSize: 256 * 1024 }),
          write,
          { signal }
        ),
      catch: (cause) => {
        if (cause instanceof TooMany) return new ImageTooLarge({ reference, what: cause.message, limit: "64 GiB" })
        const isOfZlib = cause instanceof Error && "code" in cause && String(cause.code).startsWith("Z_")
        return isOfZlib
          ? new ImageInvalid({ reference, what: "archive", reason: `it cannot be unpacked: ${cause.message}` })
          : storeError(temporary, cause)
      }
    })
    return handle
  })
