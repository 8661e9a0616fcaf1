/**
 * Images of this machine, as they are shown to people and programs.
 */
import * as Schema from "effect/Schema"
import { Digest } from "./ImageReference.ts"

/** One name of an image that is here. */
export class ImageSummary extends Schema.Class<ImageSummary>("ImageSummary")({
  /** The whole name: `docker.io/library/alpine:3.21`, or a local source such as `oci:/srv/layout:tag`. */
  name: Schema.String,
  /** The manifest's digest; for `rootfs:FILE.tar` the archive's. */
  digest: Digest,
  /** `linux/amd64` */
  platform: Schema.String,
  /** What its blobs take, in bytes. Blobs that several images share count for each of them here. */
  blobBytes: Schema.Int,
  /** The size of its root disk, in bytes; none where the disk is not built. */
  diskBytes: Schema.optionalWith(Schema.Int, { exact: true }),
  /** When this name came to be here, or was last brought up to date. */
  pulledAt: Schema.DateTimeUtc,
  /** When its root disk was last used: built, or an instance started from it. None where the disk is not built. */
  usedAt: Schema.optionalWith(Schema.DateTimeUtc, { exact: true })
}) {}

/** All images, and what the store takes altogether: each blob and each disk counted once. */
export class ImageList extends Schema.Class<ImageList>("ImageList")({
  images: Schema.Array(ImageSummary),
  totalBytes: Schema.Int
}) {}

/** An image in full. */
export class ImageDetails extends Schema.Class<ImageDetails>("ImageDetails")({
  summary: ImageSummary,
  /** Other names of the same image. */
  alsoNamed: Schema.Array(Schema.String),
  layers: Schema.Array(Schema.Struct({ digest: Digest, mediaType: Schema.String, bytes: Schema.Int })),
  /** Where its root disk is, or will be. */
  disk: Schema.String
}) {}

/** What a removal gave back. */
export class ImagesRemoved extends Schema.Class<ImagesRemoved>("ImagesRemoved")({
  names: Schema.Array(Schema.String),
  freedBytes: Schema.Int
}) {}

/** The registry, or the local source, is asked which image the name stands for now. */
export class Resolving extends Schema.TaggedClass<Resolving>()("Resolving", { name: Schema.String }) {}

/** One blob's way here. `shared` when another pull began its download. */
export class Downloading extends Schema.TaggedClass<Downloading>()("Downloading", {
  digest: Digest,
  bytes: Schema.Int,
  total: Schema.Int,
  shared: Schema.Boolean
}) {}

/** The root disk is being built. `fraction` is 0 to 1. */
export class BuildingDisk extends Schema.TaggedClass<BuildingDisk>()("BuildingDisk", { fraction: Schema.Number }) {}

/** The image is here, ready to boot. */
export class Pulled extends Schema.TaggedClass<Pulled>()("Pulled", {
  name: Schema.String,
  digest: Digest,
  /** Why the registry, or the local source, could not be asked: the image is the one that was here before (T-73). */
  stale: Schema.optionalWith(Schema.String, { exact: true })
}) {}

/** One step of a pull. */
export const PullProgress = Schema.Union(Resolving, Downloading, BuildingDisk, Pulled)
export type PullProgress = typeof PullProgress.Type
