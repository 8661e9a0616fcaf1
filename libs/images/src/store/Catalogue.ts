/**
 * Which name stands for which image: the layout's `index.json`. Registry names are its `org.opencontainers.image.ref.name`, so that
 * `skopeo inspect oci:<home>/data/images:docker.io/library/alpine:3.21` and `umoci ls` find them; what only we know is in
 * annotations of our own.
 */
import { Digest, ImageStoreCorrupt, ImageStoreFailed } from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { replace, type StoreError } from "./StoreFile.ts"

/** One name. */
export interface CatalogueEntry {
  /** As `imageSourceName` has it. */
  readonly name: string
  /** The manifest in the layout; where the image came with one of Docker's, the same in OCI's form. */
  readonly manifest: { readonly mediaType: string; readonly digest: Digest; readonly size: number }
  /** The manifest's digest as the image's origin has it; of `rootfs:FILE.tar`, the archive's. Names the disk. */
  readonly digest: Digest
  /** The digest of what the name itself stands for: an index's, or the same as `digest`. */
  readonly root: Digest
  readonly platform: string
  readonly pulledAt: DateTime.Utc
  /** Of a local source: what its file looked like when it was read. */
  readonly fingerprint: string | undefined
}

export interface Change<A, E, R> {
  readonly entries: ReadonlyArray<CatalogueEntry>
  readonly afterwards: Effect.Effect<A, E, R>
}

export interface Catalogue {
  readonly entries: Effect.Effect<ReadonlyArray<CatalogueEntry>, ImageStoreCorrupt | StoreError>
  /**
   * Replaces all entries by what `change` makes of them, one change at a time; nothing is written where it keeps them. `afterwards` runs
   * when they are written, and before the next change.
   */
  readonly modify: <A, E, R, E2, R2>(
    change: (entries: ReadonlyArray<CatalogueEntry>) => Effect.Effect<Change<A, E2, R2>, E, R>
  ) => Effect.Effect<A, E | E2 | ImageStoreCorrupt | StoreError, R | R2>
  /** Puts an entry in the place of the one with its name. */
  readonly set: (entry: CatalogueEntry) => Effect.Effect<void, ImageStoreCorrupt | StoreError>
  /** Throws a catalogue away that cannot be read. */
  readonly reset: Effect.Effect<void, StoreError>
}

const refName = "org.opencontainers.image.ref.name"

/** The names that the layout's other readers accept (image-spec, "Pre-Defined Annotation Keys"). */
const refNamePattern =
  /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$/

const Descriptor = Schema.Struct({
  mediaType: Schema.String,
  digest: Digest,
  size: Schema.NonNegativeInt,
  annotations: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

const IndexFile = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  manifests: Schema.Array(Descriptor)
})

const Annotations = Schema.Struct({
  "org.aegisvm.image.name": Schema.String,
  "org.aegisvm.image.digest": Digest,
  "org.aegisvm.image.root": Digest,
  "org.aegisvm.image.platform": Schema.String,
  "org.aegisvm.image.pulled": Schema.DateTimeUtc,
  "org.aegisvm.image.fingerprint": Schema.optionalWith(Schema.String, { exact: true })
})

/** What `AtomicFile.readJson` reads at most: a catalogue that nobody could read again is not written. */
const maxBytes = 1024 * 1024

/** The catalogue in `file`; an absent one is empty. */
export const make = (file: string): Catalogue => {
  const mutex = Effect.unsafeMakeSemaphore(1)

  const read = AtomicFile.readJson(file, IndexFile).pipe(
    Effect.map(({ manifests }) => manifests),
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.succeed([])
    ),
    Effect.mapError(({ code, message }) =>
      code === ""
        ? new ImageStoreCorrupt({ path: file, reason: message })
        : new ImageStoreFailed({ path: file, reason: message })
    )
  )

  const write = (manifests: ReadonlyArray<typeof Descriptor.Type>) =>
    Effect.gen(function* () {
      const document = { schemaVersion: 2 as const, mediaType: "application/vnd.oci.image.index.v1+json", manifests }
      const bytes = Buffer.from(JSON.stringify(document, undefined, 1))
      if (bytes.length > maxBytes) {
        return yield* new ImageStoreFailed({ path: file, reason: "there are too many images; aegis image prune --all" })
      }
      yield* replace(file, bytes)
    })

  const modify: Catalogue["modify"] = (change) =>
    Effect.gen(function* () {
      const found = yield* read
      const before = found.flatMap(fromDescriptor)
      const { entries, afterwards } = yield* change(before)
      if (entries !== before) {
        // What others have put into the layout stays in it.
        const foreign = found.filter((descriptor) => fromDescriptor(descriptor).length === 0)
        yield* write([...foreign, ...entries.map(toDescriptor)])
      }
      return yield* afterwards
    }).pipe(mutex.withPermits(1))

  return {
    entries: Effect.map(read, (found) => found.flatMap(fromDescriptor)),
    modify,
    set: (entry) =>
      modify((entries) =>
        Effect.succeed({
          entries: [...entries.filter(({ name }) => name !== entry.name), entry],
          afterwards: Effect.void
        })
      ),
    reset: mutex.withPermits(1)(write([]))
  }
}

const fromDescriptor = ({
  annotations = {},
  digest,
  mediaType,
  size
}: typeof Descriptor.Type): ReadonlyArray<CatalogueEntry> =>
  Either.match(Schema.decodeUnknownEither(Annotations)(annotations), {
    onLeft: () => [],
    onRight: (ours) => [
      {
        name: ours["org.aegisvm.image.name"],
        manifest: { mediaType, digest, size },
        digest: ours["org.aegisvm.image.digest"],
        root: ours["org.aegisvm.image.root"],
        platform: ours["org.aegisvm.image.platform"],
        pulledAt: ours["org.aegisvm.image.pulled"],
        fingerprint: ours["org.aegisvm.image.fingerprint"]
      }
    ]
  })

const toDescriptor = (entry: CatalogueEntry): typeof Descriptor.Type => ({
  ...entry.manifest,
  annotations: {
    ...(refNamePattern.test(entry.name) ? { [refName]: entry.name } : {}),
    ...Schema.encodeSync(Annotations)({
      "org.aegisvm.image.name": entry.name,
      "org.aegisvm.image.digest": entry.digest,
      "org.aegisvm.image.root": entry.root,
      "org.aegisvm.image.platform": entry.platform,
      "org.aegisvm.image.pulled": entry.pulledAt,
      ...(entry.fingerprint === undefined ? {} : { "org.aegisvm.image.fingerprint": entry.fingerprint })
    })
  }
})
