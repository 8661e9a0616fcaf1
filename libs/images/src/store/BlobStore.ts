/**
 * Blobs by their digest, in an OCI image layout under `<home>/data/images` (image-spec, "Image Layout Specification"): skopeo and
 * umoci read it. What has its name there is whole and verified; nothing else is ever visible.
 */
import { Digest, DigestMismatch, ImageStoreCorrupt, ImageStoreFailed, type PullError } from "@aegis/domain"
import { AegisPaths, Directories } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import { sha256OfFile } from "../FileDigest.ts"
import { digestOf } from "../registry/Resolve.ts"
import * as PartFile from "./PartFile.ts"
import * as SharedWork from "./SharedWork.ts"
import { attempt, isAbsent, openRegular, removeLeftovers, replace, sizeOf, type StoreError } from "./StoreFile.ts"

/** A blob's name and its length. */
export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
}

/** How far a blob is. */
export interface BlobProgress {
  readonly bytes: number
  readonly total: number
  /** Another pull began its download; it is waited for. */
  readonly shared: boolean
}

export interface Ingest {
  /** The image it belongs to, for messages. */
  readonly reference: string
  /** Where it comes from: callers with the same origin share a failure as well. */
  readonly origin: string
  readonly descriptor: StoredBlob
  readonly report: (progress: BlobProgress) => void
  /** Brings what is missing. */
  readonly download: (part: PartFile.Part) => Effect.Effect<void, PullError>
}

export class BlobStore extends Context.Tag("@aegis/images/BlobStore")<
  BlobStore,
  {
    /**
     * Sees to it that a blob is there: nothing is done where it is; otherwise one download serves all who ask for it at the
     * same time (T-62, T-110) and goes on where an earlier one was broken off. Says whether anything had to be fetched.
     * A blob that is not what its descriptor says is not kept (T-59, T-102); one for which there is no room leaves no part (T-84).
     */
    readonly ingest: (ingest: Ingest) => Effect.Effect<boolean, PullError>
    readonly has: (descriptor: StoredBlob) => Effect.Effect<boolean, StoreError>
    /** Where a blob is, if it is. */
    readonly path: (digest: Digest) => string
    /** A document's bytes, verified. `limit` is the most that is read. */
    readonly readSmall: (digest: Digest, limit: number) => Effect.Effect<Uint8Array, ImageStoreCorrupt | StoreError>
    /** Keeps a document. */
    readonly put: (bytes: Uint8Array) => Effect.Effect<StoredBlob, StoreError>
    /** Removes each of these blobs that is not what its name says; says which. */
    readonly removeDamaged: (digests: ReadonlyArray<Digest>) => Effect.Effect<ReadonlyArray<Digest>, StoreError>
    /** All blobs. */
    readonly list: Effect.Effect<ReadonlyArray<StoredBlob>, StoreError>
    /** Parts that nothing is being written to, by their path. */
    readonly idleParts: Effect.Effect<ReadonlyArray<{ readonly path: string; readonly size: number }>, StoreError>
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

/** A part that nobody has come back for in a week is removed when the daemon starts. */
const partLifetimeMillis = 7 * 24 * 3600 * 1000

const make = Effect.gen(function* () {
  const root = (yield* AegisPaths).images
  const blobs = `${root}/blobs/sha256`
  yield* Effect.forEach([root, `${root}/blobs`, blobs], privateDirectory)
  yield* Effect.forEach([root, blobs], removeLeftovers)
  yield* removeOldParts(blobs, yield* Clock.currentTimeMillis)
  if ((yield* attempt(root, () => sizeOf(`${root}/oci-layout`))) === undefined) {
    yield* replace(`${root}/oci-layout`, Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" })))
  }

  const downloads = yield* SharedWork.make<number, boolean, PullError>()
  // A digest is a Schema's brand; whoever got one without it has a defect, and no path.
  const path = (digest: Digest) => `${blobs}/${Schema.decodeSync(Digest)(digest).slice("sha256:".length)}`

  const has = ({ digest, size }: StoredBlob) => attempt(path(digest), async () => (await sizeOf(path(digest))) === size)

  /** Whether the blob is there. One of another size is either damaged, and removed, or its descriptor is wrong. */
  const check = ({ descriptor: { digest, size }, reference }: Ingest) =>
    Effect.gen(function* () {
      const file = path(digest)
      const found = yield* attempt(file, () => sizeOf(file))
      if (found === undefined || found === size) return found !== undefined
      if ((yield* removeDamaged([digest])).length > 0) return false
      return yield* new DigestMismatch({
        reference,
        what: `size of blob ${digest}`,
        expected: `${size}`,
        actual: `${found}`
      })
    })

  const fetch = (ingest: Ingest, report: (bytes: number) => void) =>
    Effect.gen(function* () {
      const { digest, size } = ingest.descriptor
      const part = yield* PartFile.open({ file: path(digest), digest, size, reference: ingest.reference, report })
      const old = part.offset()
      const arrive = Effect.suspend(() => (part.offset() < size ? ingest.download(part) : Effect.void)).pipe(
        Effect.zipRight(part.commit)
      )
      yield* arrive.pipe(
        // What an earlier process left may be damaged: it is not held against the source.
        Effect.catchIf(
          (error) => error._tag === "DigestMismatch" && old > 0,
          () => Effect.zipRight(part.append(0, Stream.empty), arrive)
        ),
        Effect.tapError((error) =>
          error._tag === "DigestMismatch" || error._tag === "DiskFull" ? part.remove : Effect.void
        )
      )
      return true
    }).pipe(Effect.scoped)

  const ingest = Effect.fn("BlobStore.ingest")((request: Ingest) =>
    Effect.gen(function* () {
      if (yield* check(request)) return false
      return yield* downloads.run({
        key: request.descriptor.digest,
        origin: request.origin,
        report: (bytes, shared) => request.report({ bytes, total: request.descriptor.size, shared }),
        // It may have come between the look and now.
        work: (report) =>
          Effect.flatMap(check(request), (there) => (there ? Effect.succeed(false) : fetch(request, report)))
      })
    })
  )

  const readSmall = Effect.fn("BlobStore.readSmall")(function* (digest: Digest, limit: number) {
    const file = path(digest)
    const bytes = yield* attempt(file, async () => {
      try {
        const handle = await openRegular(file)
        try {
          const { size } = await handle.stat()
          return size > limit ? `has ${size} bytes, more than ${limit}` : await handle.readFile()
        } finally {
          await handle.close()
        }
      } catch (cause) {
        if (isAbsent(cause)) return "is not there"
        throw cause
      }
    })
    if (typeof bytes === "string") return yield* new ImageStoreCorrupt({ path: file, reason: bytes })
    if (digestOf(bytes) !== digest) {
      return yield* new ImageStoreCorrupt({ path: file, reason: "is not what its name says" })
    }
    return bytes
  })

  const put = Effect.fn("BlobStore.put")(function* (bytes: Uint8Array) {
    const descriptor = { digest: digestOf(bytes), size: bytes.byteLength }
    if (!(yield* has(descriptor))) yield* replace(path(descriptor.digest), bytes)
    return descriptor
  })

  const removeDamaged = (digests: ReadonlyArray<Digest>) =>
    Effect.filter(digests, (digest) =>
      attempt(path(digest), async () => {
        try {
          if ((await sha256OfFile(path(digest))) === digest) return false
        } catch (cause) {
          if (!isAbsent(cause)) throw cause
        }
        await fs.rm(path(digest), { force: true })
        return true
      })
    ).pipe(Effect.withSpan("BlobStore.removeDamaged"))

  const entries = attempt(blobs, async () => {
    const found: Array<{ readonly name: string; readonly size: number }> = []
    for (const name of await fs.readdir(blobs)) {
      const size = await sizeOf(`${blobs}/${name}`)
      if (size !== undefined) found.push({ name, size })
    }
    return found
  })

  const list = Effect.map(entries, (found) =>
    found.flatMap(({ name, size }) =>
      Either.match(Schema.decodeEither(Digest)(`sha256:${name}`), {
        onLeft: () => [],
        onRight: (digest) => [{ digest, size }]
      })
    )
  )

  const idleParts = Effect.zipWith(entries, downloads.underWay, (found, busy) =>
    found
      .filter(({ name }) => name.endsWith(".part") && !busy.has(`sha256:${name.slice(0, -".part".length)}`))
      .map(({ name, size }) => ({ path: `${blobs}/${name}`, size }))
  )

  return BlobStore.of({ ingest, has, path, readSmall, put, removeDamaged, list, idleParts })
})

/** Makes one of the store's directories. */
export const privateDirectory = (directory: string): Effect.Effect<void, ImageStoreFailed> =>
  Effect.mapError(Directories.ensurePrivate(directory), ({ path, reason }) => new ImageStoreFailed({ path, reason }))

const removeOldParts = (blobs: string, now: number) =>
  attempt(blobs, async () => {
    for (const name of await fs.readdir(blobs)) {
      const file = `${blobs}/${name}`
      if (!name.endsWith(".part")) continue
      if (now - (await fs.lstat(file)).mtimeMs > partLifetimeMillis) await fs.rm(file, { force: true })
    }
  })
