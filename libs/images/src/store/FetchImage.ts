/**
 * From an origin into the blob store: index, manifest, configuration, layers.
 */
import { type Digest, Downloading, type PullError, type PullProgress } from "@aegis/domain"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { decodeConfig } from "../registry/ImageConfig.ts"
import { type BlobDescriptor, limits } from "../registry/Manifest.ts"
import { hostPlatform, platformText } from "../registry/Platform.ts"
import { digestOf, resolveManifest } from "../registry/Resolve.ts"
import type { BlobStore } from "./BlobStore.ts"
import type { DownloadLimit } from "./DownloadLimit.ts"
import type { ImageOrigin } from "./ImageOrigin.ts"
import type { Leases } from "./Leases.ts"
import { manifestType, ociManifest } from "./OciManifest.ts"

/** An image of which every blob is in the store. */
export interface FetchedImage {
  readonly manifest: BlobDescriptor
  /** The manifest's digest as the origin has it. */
  readonly digest: Digest
  readonly root: Digest
  readonly platform: string
}

export interface FetchOptions {
  readonly reference: string
  readonly origin: ImageOrigin
  readonly report: (progress: PullProgress) => void
  readonly blobs: BlobStore["Type"]
  readonly leases: Leases
  readonly limit: DownloadLimit
}

/** Blobs of one image that are fetched at the same time. */
const blobConcurrency = 3

/** Brings an image for this machine. What it consists of is held until the scope closes. */
export const fetchImage = (options: FetchOptions): Effect.Effect<FetchedImage, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const { blobs, leases, origin, reference } = options
    const root = yield* origin.root
    const { document, manifest } = yield* resolveManifest(reference, hostPlatform(), root, origin.document)
    const { digest } = document
    // As bytes of an image layout. Docker's form is kept beside it: its digest is what the world knows the image by.
    const isOci = document.mediaType === manifestType
    const written = isOci ? document.bytes : ociManifest(manifest)
    const needed = [digest, digestOf(written), manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]
    yield* Effect.forEach(needed, leases.hold, { discard: true })

    yield* fetchBlob(options, manifest.config)
    const configBytes = yield* blobs.readSmall(manifest.config.digest, limits.configBytes)
    yield* decodeConfig(reference, configBytes, manifest, hostPlatform())
    // An image may name the same layer many times (T-62).
    const layers = new Map(manifest.layers.map((layer) => [layer.digest, layer]))
    yield* Effect.forEach(layers.values(), (layer) => fetchBlob(options, layer), {
      concurrency: blobConcurrency,
      discard: true
    })
    yield* blobs.put(document.bytes)
    const { size } = yield* blobs.put(written)
    return {
      manifest: { mediaType: manifestType, digest: digestOf(written), size },
      digest,
      root: root.digest,
      platform: platformText({ ...hostPlatform(), variant: undefined })
    }
  }).pipe(Effect.withSpan("ImageStore.fetch", { attributes: { reference: options.reference } }))

const fetchBlob = ({ blobs, limit, origin, reference, report }: FetchOptions, descriptor: BlobDescriptor) =>
  blobs.ingest({
    reference,
    origin: origin.place,
    descriptor,
    report: ({ bytes, shared, total }) =>
      report(new Downloading({ digest: descriptor.digest, bytes: Math.min(bytes, total), total, shared })),
    download: (part) => limit(origin.place, origin.download(descriptor, part))
  })
