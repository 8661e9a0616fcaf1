/**
 * The documents of an image: OCI image-spec 1.1 manifests and indexes, and Docker's schema 2 of both. Bytes become values here or
 * nowhere; what comes out needs no further check of its shape.
 */
import { Digest, ImageInvalid, ImageTooLarge } from "@aegis/domain"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { parseDocument } from "./Document.ts"

/** How a layer's tar stream is packed. */
export type Compression = "gzip" | "zstd" | "none"

/** A blob that a document names. */
export interface BlobDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

export interface LayerDescriptor extends BlobDescriptor {
  readonly compression: Compression
}

export interface PlatformName {
  readonly os: string
  readonly architecture: string
  readonly variant: string | undefined
}

export interface IndexEntry extends BlobDescriptor {
  readonly platform: PlatformName | undefined
}

/** One image: its configuration and its layers, the bottom one first. */
export interface ImageManifest {
  readonly _tag: "Manifest"
  readonly config: BlobDescriptor
  readonly layers: ReadonlyArray<LayerDescriptor>
}

/** A choice of images by platform. */
export interface ImageIndex {
  readonly _tag: "Index"
  readonly manifests: ReadonlyArray<IndexEntry>
}

/** What a registry or a layout gave for a name: `mediaType` is what it said of it, and may be none. */
export interface RawDocument {
  readonly mediaType: string | undefined
  readonly bytes: Uint8Array
}

export const limits = {
  /** Of a manifest or an index, as in the distribution specification. */
  documentBytes: 4 * 1024 * 1024,
  configBytes: 8 * 1024 * 1024,
  /** Docker itself stops at 127. */
  layers: 512,
  layerBytes: 10 * 1024 ** 3,
  indexEntries: 4096,
  /** An index may hold an index, which holds manifests. */
  indexDepth: 2
} as const

const types = {
  manifest: ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"],
  index: ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"],
  schema1: [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws"
  ],
  config: ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"]
}

/** What a registry is asked for. */
export const acceptedTypes = [...types.index, ...types.manifest].join(", ")

const compressions: Readonly<Record<string, Compression>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd"
}

const foreign = /\.(?:nondistributable|foreign)\b|nondistributable/

/** A size in bytes: an integer that a JavaScript number holds exactly (T-58). */
const Size = Schema.NonNegativeInt.pipe(Schema.lessThanOrEqualTo(Number.MAX_SAFE_INTEGER))

const descriptorFields = {
  mediaType: Schema.String.pipe(Schema.maxLength(255)),
  digest: Digest,
  size: Size
}
const Descriptor = Schema.Struct(descriptorFields)

const Platform = Schema.Struct({
  os: Schema.String,
  architecture: Schema.String,
  variant: Schema.optional(Schema.String)
})

const ManifestDocument = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.optional(Schema.String),
  config: Descriptor,
  layers: Schema.Array(Schema.Struct({ ...descriptorFields, urls: Schema.optional(Schema.Array(Schema.String)) })),
  manifests: Schema.optional(Schema.Undefined)
})

const IndexDocument = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.optional(Schema.String),
  manifests: Schema.Array(Schema.Struct({ ...descriptorFields, platform: Schema.optional(Schema.NullOr(Platform)) })),
  config: Schema.optional(Schema.Undefined),
  layers: Schema.optional(Schema.Undefined)
})

/** What tells the kinds apart, before either is decoded. */
const Kind = Schema.Struct({
  schemaVersion: Schema.Unknown,
  mediaType: Schema.optional(Schema.Unknown),
  config: Schema.optional(Schema.Unknown),
  layers: Schema.optional(Schema.Unknown),
  manifests: Schema.optional(Schema.Unknown)
})

type Failed = ImageInvalid | ImageTooLarge

/** Reads a manifest or an index. `reference` is for the errors. */
export const decodeManifest = (
  reference: string,
  document: RawDocument
): Either.Either<ImageManifest | ImageIndex, Failed> =>
  Either.gen(function* () {
    const refuse = (reason: string) => Either.left(new ImageInvalid({ reference, what: "manifest", reason }))
    const value = yield* parseDocument(reference, "manifest", document.bytes, limits.documentBytes)
    const kind = yield* decoded(Kind, value, reference, "manifest")
    const said = mediaTypeOf(document.mediaType)
    const type = typeof kind.mediaType === "string" ? kind.mediaType : undefined
    if (kind.mediaType !== undefined && type === undefined) return yield* refuse("its mediaType is no text")
    if (kind.schemaVersion === 1 || [said, type].some((one) => types.schema1.includes(one ?? ""))) {
      return yield* refuse("schema 1 is not supported: it was given up in 2017; push the image anew")
    }
    // A registry that says only "JSON" says nothing; one that names another kind of document than this lies, or we are tricked.
    const isVague = said === undefined || /^(?:application\/(?:json|octet-stream)|text\/plain)$/.test(said)
    if (!isVague && type !== undefined && said !== type) {
      return yield* refuse(`it calls itself ${type}, and the registry calls it ${said}`)
    }
    const named = type ?? (isVague ? undefined : said)
    const isIndex = kind.manifests !== undefined
    const isManifest = kind.layers !== undefined || kind.config !== undefined
    if (isIndex && isManifest) return yield* refuse("it is a manifest and an index at once")
    if (named !== undefined && !(isIndex ? types.index : types.manifest).includes(named)) {
      return yield* refuse(`${named} is no type of ${isIndex ? "an index" : "an image's manifest"}`)
    }
    return isIndex ? yield* indexOf(reference, value) : yield* manifestOf(reference, value)
  })

const manifestOf = (reference: string, value: unknown): Either.Either<ImageManifest, Failed> =>
  Either.gen(function* () {
    const { config, layers } = yield* decoded(ManifestDocument, value, reference, "manifest")
    const refuse = (what: "manifest" | "config" | "layer", reason: string) =>
      Either.left(new ImageInvalid({ reference, what, reason }))
    if (!types.config.includes(config.mediaType)) {
      return yield* refuse("config", `${config.mediaType} is not an image's configuration: this is some other artifact`)
    }
    if (config.size > limits.configBytes) return yield* tooLarge(reference, "the configuration", limits.configBytes)
    if (layers.length === 0) return yield* refuse("manifest", "it has no layers")
    if (layers.length > limits.layers) return yield* tooLarge(reference, "the number of layers", limits.layers)
    const checked: Array<LayerDescriptor> = []
    for (const { digest, mediaType, size, urls } of layers) {
      if (foreign.test(mediaType)) {
        return yield* refuse("layer", `${digest} is foreign: it is not in the registry and may not be distributed`)
      }
      if (urls !== undefined && urls.length > 0) {
        return yield* refuse("layer", `${digest} is to be had from URLs outside of the registry, which are not used`)
      }
      const compression = Object.hasOwn(compressions, mediaType) ? compressions[mediaType] : undefined
      if (compression === undefined) return yield* refuse("layer", `${digest} is of the unknown type ${mediaType}`)
      if (size > limits.layerBytes) return yield* tooLarge(reference, `layer ${digest}`, limits.layerBytes)
      checked.push({ digest, mediaType, size, compression })
    }
    return { _tag: "Manifest", config, layers: checked }
  })

const indexOf = (reference: string, value: unknown): Either.Either<ImageIndex, Failed> =>
  Either.gen(function* () {
    const { manifests } = yield* decoded(IndexDocument, value, reference, "index")
    if (manifests.length > limits.indexEntries) {
      return yield* tooLarge(reference, "the number of the index's entries", limits.indexEntries)
    }
    return {
      _tag: "Index",
      manifests: manifests.map(({ digest, mediaType, platform, size }) => ({
        digest,
        mediaType,
        size,
        platform:
          platform === undefined || platform === null
            ? undefined
            : { os: platform.os, architecture: platform.architecture, variant: platform.variant }
      }))
    }
  })

/** Whether an index's entry is itself an index. */
export const isIndexType = (mediaType: string): boolean => types.index.includes(mediaType)

/** Whether an index's entry is an image's manifest. */
export const isManifestType = (mediaType: string): boolean => types.manifest.includes(mediaType)

/** `application/json` of `Application/JSON; charset=utf-8`. */
const mediaTypeOf = (header: string | undefined): string | undefined => {
  const text = header?.split(";")[0]?.trim().toLowerCase()
  return text === "" ? undefined : text
}

const tooLarge = (reference: string, what: string, limit: number) =>
  Either.left(new ImageTooLarge({ reference, what, limit: limit.toLocaleString("en-US") }))

const decoded = <A, I>(schema: Schema.Schema<A, I>, value: unknown, reference: string, what: "manifest" | "index") =>
  Either.mapLeft(
    Schema.decodeUnknownEither(schema)(value),
    ({ message }) => new ImageInvalid({ reference, what, reason: message.slice(0, 500) })
  )
