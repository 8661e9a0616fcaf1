/**
 * The images of this machine and the root disks made of them. An image is pulled once; from then on it starts without a network
 * (contract D-12).
 */
import {
  type Digest,
  ImageDetails,
  ImageInUse,
  ImageList,
  ImageNotFound,
  type ImageSource,
  imageSourceName,
  ImagesRemoved,
  type ImageStoreCorrupt,
  ImageSummary,
  type LocalSource,
  parseImageReference,
  type PullError
} from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Registry } from "../registry/Registry.ts"
import { BlobStore } from "./BlobStore.ts"
import { bringImage, diskOf, type ReportPull, type StoreParts } from "./BringImage.ts"
import * as Catalogue from "./Catalogue.ts"
import { DiskBuilder } from "./DiskBuilder.ts"
import * as Disks from "./Disks.ts"
import * as DownloadLimit from "./DownloadLimit.ts"
import { collectGarbage } from "./Garbage.ts"
import * as Leases from "./Leases.ts"
import { digestsOf, storedManifest } from "./StoredImage.ts"
import type { StoreError } from "./StoreFile.ts"

/** A root disk to start instances from; never written to. */
export interface ImageDisk {
  readonly path: string
  readonly digest: Digest
  /** The image's whole name. */
  readonly reference: string
  /** Why the registry, or the local source, could not be asked: this is what was here before (T-73). */
  readonly stale: string | undefined
}

/** Disks that instances need, running or not, by their path. */
export type DisksInUse = Effect.Effect<ReadonlySet<string>>

type ReadError = ImageStoreCorrupt | StoreError

export class ImageStore extends Context.Tag("@aegis/images/ImageStore")<
  ImageStore,
  {
    /**
     * Brings an image and builds its disk; what is here already is not brought again. With `refresh` the registry, or the local
     * source, is asked which image the name stands for now; where it cannot be reached, the image that is here is used, and that is
     * said. Any number of pulls share what they have in common, and each may be interrupted without harm to the others (T-110).
     */
    readonly pull: (
      source: ImageSource,
      options: { readonly refresh: boolean; readonly report: ReportPull }
    ) => Effect.Effect<ImageDisk, PullError>
    /**
     * The disk to start an instance from. An image that is here costs a few small file operations and no network (T-112). The disk
     * is not removed before the scope closes, whoever prunes.
     */
    readonly resolve: (source: ImageSource, report: ReportPull) => Effect.Effect<ImageDisk, PullError, Scope.Scope>
    /** Brings a local source, and gives the image the names that the source has for it; says them. */
    readonly load: (
      source: LocalSource,
      report: ReportPull
    ) => Effect.Effect<{ readonly image: ImageDisk; readonly names: ReadonlyArray<string> }, PullError>
    readonly list: Effect.Effect<ImageList, ReadError>
    readonly inspect: (source: ImageSource) => Effect.Effect<ImageDetails, ImageNotFound | ReadError>
    /** Takes a name away, and all that no other name needs. Refused where an instance needs the disk. */
    readonly remove: (
      source: ImageSource,
      inUse: DisksInUse
    ) => Effect.Effect<ImagesRemoved, ImageNotFound | ImageInUse | ReadError>
    /**
     * Removes what no name needs: blobs, disks, broken-off downloads. With `all` also every name whose disk no instance needs; that
     * helps as well where the catalogue cannot be read any more.
     */
    readonly prune: (options: {
      readonly all: boolean
      readonly inUse: DisksInUse
    }) => Effect.Effect<ImagesRemoved, ReadError>
  }
>() {
  /** Needs a registry client, a program that builds disks, and the blobs' store. */
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

/** Downloads at once from one registry, over all pulls (T-111). */
const downloadsPerPlace = 6

const make = Effect.gen(function* () {
  const root = (yield* AegisPaths).images
  const blobs = yield* BlobStore
  const parts: StoreParts = {
    blobs,
    disks: yield* Disks.make,
    catalogue: Catalogue.make(`${root}/index.json`),
    leases: Leases.make(),
    limit: DownloadLimit.make(downloadsPerPlace),
    builder: yield* DiskBuilder,
    registry: yield* Registry,
    temporary: root
  }
  const { catalogue, disks, leases } = parts
  const diskFor = (entry: Catalogue.CatalogueEntry) => diskOf(parts, entry)

  const bring = (source: ImageSource, refresh: boolean, report: ReportPull) =>
    Effect.map(bringImage(parts, source, refresh, report), ({ disk, entry, names, stale }) => ({
      image: { path: disk, digest: entry.digest, reference: entry.name, stale },
      names,
      entry
    }))

  const pull = Effect.fn("ImageStore.pull")(
    (source: ImageSource, options: { readonly refresh: boolean; readonly report: ReportPull }) =>
      Effect.map(Effect.scoped(bring(source, options.refresh, options.report)), ({ image }) => image)
  )

  const resolve = Effect.fn("ImageStore.resolve")((source: ImageSource, report: ReportPull) =>
    Effect.map(bring(source, false, report), ({ image }) => image)
  )

  const load = Effect.fn("ImageStore.load")((source: LocalSource, report: ReportPull) =>
    Effect.gen(function* () {
      const { entry, image, names } = yield* bring(source, true, report)
      const read = yield* Effect.forEach(names, (name) => Effect.option(parseImageReference(name)))
      const canonical = [...new Set(read.flatMap((one) => (one._tag === "Some" ? [one.value.canonical] : [])))]
      yield* Effect.forEach(canonical, (name) => catalogue.set({ ...entry, name, fingerprint: undefined }))
      return { image, names: canonical }
    }).pipe(Effect.scoped)
  )

  const find = (entries: ReadonlyArray<Catalogue.CatalogueEntry>, source: ImageSource) => {
    const name = imageSourceName(source)
    const found = entries.find((entry) => entry.name === name)
    return found === undefined
      ? Effect.fail(new ImageNotFound({ reference: name, reason: "it is not on this machine" }))
      : Effect.succeed(found)
  }

  const summaryOf = (entry: Catalogue.CatalogueEntry) =>
    Effect.gen(function* () {
      const sizes = new Map((yield* blobs.list).map(({ digest, size }) => [digest, size]))
      const disk = (yield* disks.list).find(({ path }) => path === diskFor(entry))
      const digests = new Set(yield* digestsOf(blobs, entry))
      return new ImageSummary({
        name: entry.name,
        digest: entry.digest,
        platform: entry.platform,
        blobBytes: [...digests].reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0),
        pulledAt: entry.pulledAt,
        ...(disk === undefined ? {} : { diskBytes: disk.bytes, usedAt: disk.usedAt })
      })
    })

  const list = Effect.gen(function* () {
    const images = yield* Effect.forEach(yield* catalogue.entries, summaryOf)
    const files = [
      ...(yield* blobs.list).map(({ size }) => size),
      ...(yield* disks.list).map(({ bytes }) => bytes),
      ...(yield* blobs.idleParts).map(({ size }) => size)
    ]
    return new ImageList({ images, totalBytes: files.reduce((sum, bytes) => sum + bytes, 0) })
  }).pipe(Effect.withSpan("ImageStore.list"))

  const inspect = Effect.fn("ImageStore.inspect")(function* (source: ImageSource) {
    const entries = yield* catalogue.entries
    const entry = yield* find(entries, source)
    const manifest = yield* storedManifest(blobs, entry)
    return new ImageDetails({
      summary: yield* summaryOf(entry),
      alsoNamed: entries
        .filter(({ digest, name }) => digest === entry.digest && name !== entry.name)
        .map(({ name }) => name),
      layers: (manifest?.layers ?? []).map(({ digest, mediaType, size }) => ({ digest, mediaType, bytes: size })),
      disk: diskFor(entry)
    })
  })

  /** Leaves `entries` and what they need; everything else goes, names first: a killed daemon leaves no name without its blobs. */
  const sweep = (
    before: ReadonlyArray<Catalogue.CatalogueEntry>,
    entries: ReadonlyArray<Catalogue.CatalogueEntry>,
    inUse: ReadonlySet<string>,
    withParts: boolean
  ): Catalogue.Change<ImagesRemoved, StoreError, never> => {
    const names = before.filter((entry) => !entries.includes(entry)).map(({ name }) => name)
    const collect = collectGarbage({ blobs, disks, leases, entries, diskOf: diskFor, inUse, parts: withParts })
    return {
      entries: names.length === 0 ? before : entries,
      afterwards: Effect.map(collect, (freedBytes) => new ImagesRemoved({ names, freedBytes }))
    }
  }

  const remove = Effect.fn("ImageStore.remove")((source: ImageSource, inUse: DisksInUse) =>
    catalogue.modify((before) =>
      Effect.gen(function* () {
        const entry = yield* find(before, source)
        const disk = diskFor(entry)
        const entries = before.filter((other) => other !== entry)
        const used = yield* inUse
        const isLast = !entries.some((other) => diskFor(other) === disk)
        if (isLast && (used.has(disk) || leases.isHeld(disk))) return yield* new ImageInUse({ reference: entry.name })
        return sweep(before, entries, used, false)
      })
    )
  )

  const prune = Effect.fn("ImageStore.prune")(({
    all,
    inUse
  }: {
    readonly all: boolean
    readonly inUse: DisksInUse
  }) => {
    const swept = catalogue.modify((before) =>
      Effect.gen(function* () {
        const used = yield* inUse
        const isNeeded = (entry: Catalogue.CatalogueEntry) => used.has(diskFor(entry)) || leases.isHeld(diskFor(entry))
        return sweep(before, all ? before.filter(isNeeded) : before, used, true)
      })
    )
    return all ? Effect.catchTag(swept, "ImageStoreCorrupt", () => Effect.zipRight(catalogue.reset, swept)) : swept
  })

  return ImageStore.of({ pull, resolve, load, list, inspect, remove, prune })
})
