/**
 * An image's configuration. Only what the root file system needs is read: what the image would have run, its environment, ports and
 * volumes are ignored by contract (S-019 to S-023), and so is anything wrong with them (T-71, T-72).
 */
import { Digest, ImageInvalid, type ImageTooLarge } from "@aegis/domain"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { parseDocument } from "./Document.ts"
import { type ImageManifest, limits, type PlatformName } from "./Manifest.ts"
import { fitness, platformText } from "./Platform.ts"

export interface ImageConfig {
  readonly platform: PlatformName
  /** The digests of the unpacked layers, the bottom one first; as many as the manifest has layers. */
  readonly diffIds: ReadonlyArray<Digest>
  /** When it was built, if it says so: RFC 3339. */
  readonly created: string | undefined
}

const ConfigDocument = Schema.Struct({
  os: Schema.String,
  architecture: Schema.String,
  variant: Schema.optional(Schema.String),
  created: Schema.optional(Schema.Unknown),
  rootfs: Schema.Struct({ type: Schema.Literal("layers"), diff_ids: Schema.Array(Digest) })
})

/** Reads a configuration that belongs to `manifest` and must be for a machine of `wanted`. */
export const decodeConfig = (
  reference: string,
  bytes: Uint8Array,
  manifest: ImageManifest,
  wanted: PlatformName
): Either.Either<ImageConfig, ImageInvalid | ImageTooLarge> =>
  Either.gen(function* () {
    const refuse = (reason: string) => new ImageInvalid({ reference, what: "config", reason })
    const value = yield* parseDocument(reference, "config", bytes, limits.configBytes)
    const { architecture, created, os, rootfs, variant } = yield* Either.mapLeft(
      Schema.decodeUnknownEither(ConfigDocument)(value),
      ({ message }) => refuse(message.slice(0, 500))
    )
    const platform = { os, architecture, variant }
    if (rootfs.diff_ids.length !== manifest.layers.length) {
      const counts = `${rootfs.diff_ids.length} diff_ids for the manifest's ${manifest.layers.length} layers`
      return yield* Either.left(refuse(`it has ${counts}`))
    }
    if (fitness(wanted, platform) === 0) {
      return yield* Either.left(
        refuse(`it is for ${platformText(platform)}, this machine needs ${platformText(wanted)}`)
      )
    }
    return {
      platform,
      diffIds: rootfs.diff_ids,
      created: typeof created === "string" && /^[0-9TZ:.+-]{10,40}$/.test(created) ? created : undefined
    }
  })
