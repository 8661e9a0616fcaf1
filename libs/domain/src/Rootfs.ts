/**
 * The variants of the base root file system: what an instance boots from when no image is named (contract D-11).
 */
import * as Schema from "effect/Schema"

export const RootfsVariant = Schema.Literal("python", "alpine", "node", "debian-python")
export type RootfsVariant = typeof RootfsVariant.Type

export interface RootfsVariantInfo {
  readonly name: RootfsVariant
  readonly about: string
  /** The image it is; none for the one that is assembled on the host from Debian's packages. */
  readonly image: string | undefined
}

/** All there are; the first is the default. */
export const rootfsVariants: ReadonlyArray<RootfsVariantInfo> = [
  { name: "python", about: "Alpine Linux and Python 3.12", image: "docker.io/library/python:3.12-alpine" },
  { name: "alpine", about: "Alpine Linux 3.21, small", image: "docker.io/library/alpine:3.21" },
  { name: "node", about: "Alpine Linux and Node.js 22", image: "docker.io/library/node:22-alpine" },
  { name: "debian-python", about: "Debian and Python 3, assembled on this machine by mmdebstrap", image: undefined }
]

/** `rootfs.json`, beside the disk it describes. */
export class RootfsRecord extends Schema.Class<RootfsRecord>("RootfsRecord")({
  variant: RootfsVariant,
  /** Where it came from: a reference, or the archive it was assembled from. */
  source: Schema.String,
  /** Of the image's manifest, or sha256 of the disk that was assembled. */
  digest: Schema.String,
  bytes: Schema.Int,
  createdAt: Schema.DateTimeUtc
}) {}

/** One step of making the base root file system. `fraction` is 0 to 1 where it is known. */
export class RootfsProgress extends Schema.TaggedClass<RootfsProgress>()("RootfsProgress", {
  phase: Schema.Literal("resolving", "downloading", "packages", "disk", "done"),
  fraction: Schema.optional(Schema.Number),
  detail: Schema.optional(Schema.String)
}) {}

/** The default variant could not be had, and another is made in its place: said, never silent (D-11). */
export class RootfsSubstituted extends Schema.TaggedClass<RootfsSubstituted>()("RootfsSubstituted", {
  wanted: RootfsVariant,
  made: RootfsVariant,
  because: Schema.String
}) {}
