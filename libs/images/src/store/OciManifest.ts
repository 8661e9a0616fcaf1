/**
 * Manifests that we write ourselves, in OCI's form: of images that came with Docker's, of archives, of root file systems. Equal
 * images give equal bytes.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { BlobDescriptor, ImageManifest, LayerDescriptor } from "../registry/Manifest.ts"

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const configType = "application/vnd.oci.image.config.v1+json"

/** The media type of a layer's blob. */
export const layerType = (compression: LayerDescriptor["compression"]): string =>
  `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`

/** The same configuration and layers; Docker's media types become OCI's, which are the same formats under other names. */
export const ociManifest = ({ config, layers }: Pick<ImageManifest, "config" | "layers">): Uint8Array =>
  encode({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: configType, digest: config.digest, size: config.size },
    layers: layers.map(({ compression, digest, size }) => ({ mediaType: layerType(compression), digest, size }))
  })

/** The document that OCI 1.1 has for "nothing". */
export const emptyDocument: Uint8Array = Buffer.from("{}")

/** Stands in the layout for a root file system whose archive is not kept. */
export const rootfsManifest = (archive: string, empty: Pick<BlobDescriptor, "digest" | "size">): Uint8Array => {
  const nothing = { mediaType: "application/vnd.oci.empty.v1+json", digest: empty.digest, size: empty.size }
  return encode({
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType: rootfsType,
    config: nothing,
    layers: [nothing],
    annotations: { "org.aegisvm.image.digest": archive }
  })
}

const rootfsType = "application/vnd.aegisvm.rootfs.v1"

/** Whether a manifest of the catalogue is one that `rootfsManifest` has made. */
export const isRootfs = (manifest: Uint8Array): boolean =>
  Either.isRight(Schema.decodeEither(RootfsManifest)(Buffer.from(manifest).toString()))

const RootfsManifest = Schema.parseJson(Schema.Struct({ artifactType: Schema.Literal(rootfsType) }))

const encode = (document: object) => Buffer.from(JSON.stringify(document))
