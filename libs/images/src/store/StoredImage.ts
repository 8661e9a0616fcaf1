/**
 * An image that is in the store, read back from it.
 */
import { type Digest, ImageStoreCorrupt, type PullError } from "@aegis/domain"
import * as Effect from "effect/Effect"
import { decodeConfig } from "../registry/ImageConfig.ts"
import { decodeManifest, type ImageManifest, limits } from "../registry/Manifest.ts"
import { hostPlatform } from "../registry/Platform.ts"
import type { BlobStore } from "./BlobStore.ts"
import type { CatalogueEntry } from "./Catalogue.ts"
import type { LayerFile } from "./DiskBuilder.ts"
import { isRootfs } from "./OciManifest.ts"
import type { StoreError } from "./StoreFile.ts"

type Blobs = BlobStore["Type"]

/** Its manifest; none of a root file system, which has no layers. */
export const storedManifest = (
  blobs: Blobs,
  entry: CatalogueEntry
): Effect.Effect<ImageManifest | undefined, ImageStoreCorrupt | StoreError> =>
  Effect.gen(function* () {
    const bytes = yield* blobs.readSmall(entry.manifest.digest, limits.documentBytes)
    if (isRootfs(bytes)) return undefined
    const corrupt = (reason: string) => new ImageStoreCorrupt({ path: blobs.path(entry.manifest.digest), reason })
    const decoded = yield* Effect.mapError(
      decodeManifest(entry.name, { mediaType: entry.manifest.mediaType, bytes }),
      ({ message }) => corrupt(message)
    )
    return decoded._tag === "Manifest" ? decoded : yield* corrupt("is an index")
  })

/** The blobs it consists of. Of one whose manifest is damaged only that is known: it is fetched anew in any case. */
export const digestsOf = (blobs: Blobs, entry: CatalogueEntry): Effect.Effect<ReadonlyArray<Digest>, StoreError> =>
  storedManifest(blobs, entry).pipe(
    Effect.catchTag("ImageStoreCorrupt", () => Effect.succeed(undefined)),
    Effect.map((manifest) => [
      entry.manifest.digest,
      entry.digest,
      ...(manifest === undefined ? [] : [manifest.config, ...manifest.layers].map(({ digest }) => digest))
    ])
  )

/** Its layers, the bottom one first. `ImageStoreCorrupt` where any is missing. */
export const layersOf = (blobs: Blobs, entry: CatalogueEntry): Effect.Effect<ReadonlyArray<LayerFile>, PullError> =>
  Effect.gen(function* () {
    const manifest = yield* storedManifest(blobs, entry)
    if (manifest === undefined) {
      return yield* new ImageStoreCorrupt({
        path: entry.name,
        reason: "its disk is gone, and is made of the archive only"
      })
    }
    const configBytes = yield* blobs.readSmall(manifest.config.digest, limits.configBytes)
    const { diffIds } = yield* decodeConfig(entry.name, configBytes, manifest, hostPlatform())
    const layers: Array<LayerFile> = []
    for (const [position, layer] of manifest.layers.entries()) {
      const path = blobs.path(layer.digest)
      const diffId = diffIds[position]
      if (diffId === undefined || !(yield* blobs.has(layer))) {
        return yield* new ImageStoreCorrupt({ path, reason: "is not there as it should be" })
      }
      layers.push({ path, compression: layer.compression, digest: layer.digest, diffId })
    }
    return layers
  })
