/**
 * What `docker save` writes, old and new, and `skopeo copy … docker-archive:`: `manifest.json` names a configuration and layers by
 * their names in the archive. It has no digests that could be trusted; they are made from the bytes.
 */
import {
  Digest,
  ImageInvalid,
  ImageNotFound,
  type ImageReference,
  ImageTooLarge,
  parseImageReference,
  type PullError
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { type LayerDescriptor, limits } from "../registry/Manifest.ts"
import { digestOf } from "../registry/Resolve.ts"
import { packingOfBytes } from "./ArchiveFiles.ts"
import { configType, layerType, manifestType, ociManifest } from "./OciManifest.ts"
import type { LocalOrigin } from "./OciLayout.ts"
import { readSmall, type SourceFiles } from "./SourceFiles.ts"

const Name = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4096))

const SavedImages = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      Config: Name,
      RepoTags: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
      Layers: Schema.Array(Name)
    })
  )
)
type SavedImage = (typeof SavedImages.Type)[number]

/** The image of that name, or the only one. Reads each of its layers once, for its digest. */
export const dockerArchiveOrigin = (
  reference: string,
  files: SourceFiles,
  wanted: ImageReference | undefined
): Effect.Effect<LocalOrigin, PullError> =>
  Effect.gen(function* () {
    const invalid = (reason: string) => new ImageInvalid({ reference, what: "archive", reason })
    const bytes = yield* readSmall(files, reference, "manifest.json", limits.documentBytes)
    const images = yield* Effect.mapError(Schema.decode(SavedImages)(Buffer.from(bytes).toString()), ({ message }) =>
      invalid(`manifest.json: ${message.slice(0, 500)}`)
    )
    const image = yield* choose(reference, images, wanted)
    if (image.Layers.length === 0) return yield* invalid("the image has no layers")
    if (image.Layers.length > limits.layers) {
      return yield* new ImageTooLarge({ reference, what: "the number of layers", limit: `${limits.layers}` })
    }
    const configBytes = yield* readSmall(files, reference, image.Config, limits.configBytes)
    const config = { mediaType: configType, digest: digestOf(configBytes), size: configBytes.byteLength }
    // An image names the same layer file more than once.
    const described = new Map<string, LayerDescriptor>()
    for (const name of image.Layers) {
      if (!described.has(name)) described.set(name, yield* describe(reference, files, name))
    }
    const layers = image.Layers.flatMap((name) => described.get(name) ?? [])
    const fileOf = new Map<Digest, string>([
      [config.digest, image.Config],
      ...[...described].map(([name, { digest }]) => [digest, name] as const)
    ])
    const manifest = ociManifest({ config, layers })
    return {
      place: reference,
      names: yield* namesOf(image),
      root: Effect.succeed({ mediaType: manifestType, digest: digestOf(manifest), bytes: manifest }),
      document: ({ digest }) => invalid(`it has no document ${digest}`),
      download: ({ digest }, part) =>
        Effect.scoped(
          Effect.flatMap(files.open(fileOf.get(digest) ?? digest), (file) => {
            const from = part.offset()
            return part.append(from, file.bytes(from))
          })
        )
    }
  })

const choose = (reference: string, images: ReadonlyArray<SavedImage>, wanted: ImageReference | undefined) =>
  Effect.gen(function* () {
    const named = yield* Effect.forEach(images, (image) => Effect.map(namesOf(image), (names) => ({ image, names })))
    const fitting =
      wanted === undefined ? named : named.filter(({ names }) => names.some((name) => name === wanted.canonical))
    const [found, ...others] = fitting
    if (found !== undefined && (wanted !== undefined || others.length === 0)) return found.image
    const has = named.flatMap(({ names }) => names).slice(0, 50)
    return yield* new ImageNotFound({
      reference,
      reason: `${wanted === undefined ? "it does not hold exactly one image" : `it has no ${wanted.canonical}`}; it has ${
        has.length === 0 ? `${images.length} without a name` : has.join(", ")
      }`
    })
  })

/** The image's names in full; what is no reference is left out. */
const namesOf = ({ RepoTags }: SavedImage) =>
  Effect.map(
    Effect.forEach((RepoTags ?? []).slice(0, 1000), (text) => Effect.option(parseImageReference(text))),
    (found) => found.flatMap((one) => (one._tag === "Some" ? [one.value.canonical] : []))
  )

const describe = (reference: string, files: SourceFiles, name: string): Effect.Effect<LayerDescriptor, PullError> =>
  Effect.gen(function* () {
    const file = yield* files.open(name)
    if (file.size > limits.layerBytes) {
      return yield* new ImageTooLarge({ reference, what: `layer ${name}`, limit: `${limits.layerBytes} bytes` })
    }
    const hash = createHash("sha256")
    let first: Uint8Array = new Uint8Array()
    yield* Stream.runForEach(file.bytes(0), (piece) =>
      Effect.sync(() => {
        if (first.byteLength === 0) first = Uint8Array.from(piece.subarray(0, 6))
        hash.update(piece)
      })
    )
    const packing = packingOfBytes(first)
    if (packing !== "none" && packing !== "gzip" && packing !== "zstd") {
      return yield* new ImageInvalid({ reference, what: "layer", reason: `${name} is packed with ${packing}` })
    }
    return {
      mediaType: layerType(packing),
      digest: Digest.make(`sha256:${hash.digest("hex")}`),
      size: file.size,
      compression: packing
    }
  }).pipe(Effect.scoped)
