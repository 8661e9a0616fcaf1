/**
 * One image and its root disk: used where they are here, fetched and built where they are not.
 */
import {
  BuildingDisk,
  Digest,
  type ImageSource,
  imageSourceName,
  Pulled,
  type PullError,
  type PullProgress,
  RegistryUnavailable,
  Resolving,
  type RootfsTar
} from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { sha256OfFile } from "../FileDigest.ts"
import { hostPlatform, platformText } from "../registry/Platform.ts"
import type { Registry } from "../registry/Registry.ts"
import { digestOf } from "../registry/Resolve.ts"
import type { BlobStore } from "./BlobStore.ts"
import type { Catalogue, CatalogueEntry } from "./Catalogue.ts"
import type { DiskBuilder } from "./DiskBuilder.ts"
import type { Disks } from "./Disks.ts"
import type { DownloadLimit } from "./DownloadLimit.ts"
import { fetchImage, type FetchedImage } from "./FetchImage.ts"
import { type ImageOrigin, registryOrigin } from "./ImageOrigin.ts"
import type { Leases } from "./Leases.ts"
import { openLocal, sourceFingerprint, unchangedSince } from "./LocalSources.ts"
import { emptyDocument, manifestType, rootfsManifest } from "./OciManifest.ts"
import { sourceAbsent } from "./SourceFiles.ts"
import { digestsOf, layersOf } from "./StoredImage.ts"
import { attempt, openRegular } from "./StoreFile.ts"

/** What the store is made of. */
export interface StoreParts {
  readonly blobs: BlobStore["Type"]
  readonly disks: Disks
  readonly catalogue: Catalogue
  readonly leases: Leases
  readonly limit: DownloadLimit
  readonly builder: DiskBuilder["Type"]
  readonly registry: Registry["Type"]
  /** Takes what is needed for a moment only. */
  readonly temporary: string
}

export type ReportPull = (progress: PullProgress) => void

export interface BroughtImage {
  readonly entry: CatalogueEntry
  readonly disk: string
  /** What the source itself calls the image. */
  readonly names: ReadonlyArray<string>
  /** Why the origin could not be asked: this is what was here before (T-73). */
  readonly stale: string | undefined
}

/** The disk's path. Local root file systems have disks of another name, so that no image's manifest can be taken for one. */
export const diskOf = ({ disks }: Pick<StoreParts, "disks">, entry: CatalogueEntry): string =>
  isRootfs(entry) ? disks.rootfsDisk(entry.digest) : disks.imageDisk(entry.digest)

const isRootfs = ({ name }: CatalogueEntry) => name.startsWith("rootfs:")

/**
 * Sees to it that the image is here with its disk; the disk may not be removed until the scope closes. Without `refresh` what is here
 * is used, and nobody is asked.
 */
export const bringImage = (
  parts: StoreParts,
  source: ImageSource,
  refresh: boolean,
  report: ReportPull
): Effect.Effect<BroughtImage, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const present = yield* findPresent(parts, source, refresh)
    if (present !== undefined) {
      const whole = yield* withDisk(parts, present, report).pipe(
        Effect.map((disk): BroughtImage => ({ entry: present, disk, names: [], stale: undefined })),
        // Somebody else has written to the store, or its medium is bad: what is damaged is fetched anew, and no other image.
        Effect.catchIf(
          ({ _tag }) => _tag === "ImageStoreCorrupt" || _tag === "DigestMismatch",
          () =>
            Effect.flatMap(digestsOf(parts.blobs, present), parts.blobs.removeDamaged).pipe(
              Effect.zipRight(bringAnew(parts, source, report, present.root))
            )
        )
      )
      return yield* Effect.as(told(source, whole, report), whole)
    }
    report(new Resolving({ name: imageSourceName(source) }))
    const brought = yield* Effect.catchAll(bringAnew(parts, source, report), (error) =>
      useFormer(parts, source, refresh, error, report)
    )
    return yield* Effect.as(told(source, brought, report), brought)
  })

const told = (source: ImageSource, { entry, stale }: BroughtImage, report: ReportPull) =>
  Effect.sync(() =>
    report(
      new Pulled({
        name: imageSourceName(source),
        digest: entry.digest,
        ...(stale === undefined ? {} : { stale })
      })
    )
  )

/** What the name stands for as far as the store knows, where nobody need be asked. */
const findPresent = (parts: StoreParts, source: ImageSource, refresh: boolean) =>
  Effect.gen(function* () {
    const entries = yield* parts.catalogue.entries
    const name = imageSourceName(source)
    const own = entries.find((entry) => entry.name === name)
    if (source._tag === "RegistryImage") {
      const { digest } = source.reference
      if (digest === undefined) return refresh ? undefined : own
      // What a digest stands for never changes, whatever name it came by.
      const found = own ?? entries.find((entry) => !isRootfs(entry) && [entry.root, entry.digest].includes(digest))
      if (found === undefined || found.name === name) return found
      const named = { ...found, name, fingerprint: undefined, pulledAt: yield* DateTime.now }
      yield* parts.catalogue.set(named)
      return named
    }
    if (own === undefined || refresh || own.fingerprint !== (yield* sourceFingerprint(source))) return undefined
    // Of a root file system only the disk is kept.
    const isWhole = source._tag !== "RootfsTar" || (yield* parts.disks.has(diskOf(parts, own)))
    return isWhole ? own : undefined
  })

/** Where the origin cannot be asked, what was here before is used, and that is said; where there is nothing, that is said. */
const useFormer = (
  parts: StoreParts,
  source: ImageSource,
  refresh: boolean,
  error: PullError,
  report: ReportPull
): Effect.Effect<BroughtImage, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const unreachable = ["RegistryUnavailable", "RegistryProtocol", "PullStalled"].includes(error._tag)
    const isGone = source._tag !== "RegistryImage" && !refresh && (yield* sourceFingerprint(source)) === undefined
    if (!unreachable && !isGone) return yield* error
    const name = imageSourceName(source)
    const own = (yield* parts.catalogue.entries).find((entry) => entry.name === name)
    // Of a root file system only the disk is kept.
    if (own !== undefined && (!isRootfs(own) || (yield* parts.disks.has(diskOf(parts, own))))) {
      return { entry: own, disk: yield* withDisk(parts, own, report), names: [], stale: error.message }
    }
    if (error._tag !== "RegistryUnavailable") return yield* error
    const { cause, reason, registry } = error
    return yield* new RegistryUnavailable({ registry, cause, reason: `${reason}; ${name} has not been pulled before` })
  })

/** From the origin; of a registry's tag that may have moved, the `pinned` one. The name stands for the new image only when its disk is there. */
const bringAnew = (
  parts: StoreParts,
  source: ImageSource,
  report: ReportPull,
  pinned?: Digest
): Effect.Effect<BroughtImage, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    // What is fetched is held until it has a name; the disk as long as the caller wants.
    const outer = yield* Effect.scope
    return yield* Effect.gen(function* () {
      const { fetched, fingerprint, names } = yield* fetchFrom(parts, source, report, pinned)
      const name = imageSourceName(source)
      const entry: CatalogueEntry = { ...fetched, name, fingerprint, pulledAt: yield* DateTime.now }
      const disk = yield* Effect.provideService(withDisk(parts, entry, report), Scope.Scope, outer)
      yield* parts.catalogue.set(entry)
      return { entry, disk, names, stale: undefined }
    }).pipe(Effect.scoped)
  })

const fetchFrom = (parts: StoreParts, source: ImageSource, report: ReportPull, pinned: Digest | undefined) =>
  Effect.gen(function* () {
    const fetch = (origin: ImageOrigin) => fetchImage({ ...parts, reference: imageSourceName(source), origin, report })
    if (source._tag === "RegistryImage") {
      const reference = pinned === undefined ? source.reference : source.reference.at(pinned)
      const fetched = yield* fetch(registryOrigin(parts.registry, reference))
      return { fetched, fingerprint: undefined, names: [] }
    }
    // From before it is read: what is written to it meanwhile makes it another file.
    const fingerprint = yield* sourceFingerprint(source)
    if (source._tag === "RootfsTar") {
      return { fetched: yield* importRootfs(parts, source, fingerprint, report), fingerprint, names: [] }
    }
    const holder = yield* Effect.scope
    return yield* openLocal(source, parts.temporary).pipe(
      Effect.flatMap((origin) =>
        Effect.map(Effect.provideService(fetch(origin), Scope.Scope, holder), (fetched) => ({
          fetched,
          fingerprint,
          names: origin.names
        }))
      ),
      Effect.scoped
    )
  })

/** Makes the disk under another name, and gives it its own when it is known to be of the very bytes that name it. */
const importRootfs = (
  { blobs, builder, disks, leases }: StoreParts,
  source: RootfsTar,
  fingerprint: string | undefined,
  report: ReportPull
): Effect.Effect<FetchedImage, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const reference = imageSourceName(source)
    if (fingerprint === undefined) return yield* sourceAbsent(reference, source.path)()
    const digest = yield* attempt(source.path, async () => {
      await (await openRegular(source.path)).close()
      return Digest.make(await sha256OfFile(source.path))
    })
    const disk = disks.rootfsDisk(digest)
    yield* leases.hold(disk)
    const half = `${disk}.tmp-half`
    const build = (tell: (fraction: number) => void) =>
      builder.fromTar({ reference, tar: source.path, disk: half, report: tell }).pipe(
        Effect.zipRight(unchangedSince(source, fingerprint)),
        Effect.zipRight(
          attempt(disk, async () => {
            await fs.rename(half, disk)
            await AtomicFile.syncDirectory(path.dirname(disk))
          })
        ),
        Effect.onError(() => Effect.promise(() => fs.rm(half, { force: true })))
      )
    yield* disks.ensure(disk, build, (fraction) => report(new BuildingDisk({ fraction })))
    const empty = digestOf(emptyDocument)
    const document = rootfsManifest(digest, { digest: empty, size: emptyDocument.byteLength })
    yield* Effect.forEach([empty, digestOf(document)], leases.hold)
    yield* blobs.put(emptyDocument)
    const manifest = yield* blobs.put(document)
    return {
      manifest: { mediaType: manifestType, ...manifest },
      digest,
      root: digest,
      platform: platformText({ ...hostPlatform(), variant: undefined })
    }
  })

/** Its disk, built of its layers where it is not there. It is held until the scope closes. */
const withDisk = (
  parts: StoreParts,
  entry: CatalogueEntry,
  report: ReportPull
): Effect.Effect<string, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const { blobs, builder, disks, leases } = parts
    const disk = diskOf(parts, entry)
    yield* leases.hold(disk)
    yield* disks.ensure(
      disk,
      (tell) =>
        Effect.flatMap(layersOf(blobs, entry), (layers) =>
          builder.merge({ reference: entry.name, disk, layers, report: tell })
        ),
      (fraction) => report(new BuildingDisk({ fraction }))
    )
    return disk
  })
