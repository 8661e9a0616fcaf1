/**
 * An image in an OCI image layout of somebody else's, a directory or an archive.
 */
import { Digest, ImageInvalid, ImageNotFound, type PullError } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { parseDocument } from "../registry/Document.ts"
import { type BlobDescriptor, limits } from "../registry/Manifest.ts"
import { type ImageOrigin, verify } from "./ImageOrigin.ts"
import { readSmall, type SourceFiles } from "./SourceFiles.ts"

export interface LocalOrigin extends ImageOrigin {
  /** What the source itself calls the image, as references. */
  readonly names: ReadonlyArray<string>
}

const LayoutIndex = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  manifests: Schema.Array(
    Schema.Struct({
      mediaType: Schema.String,
      digest: Digest,
      size: Schema.NonNegativeInt,
      annotations: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
    })
  ).pipe(Schema.maxItems(limits.indexEntries))
})

const LayoutVersion = Schema.Struct({ imageLayoutVersion: Schema.String.pipe(Schema.startsWith("1.")) })

/** containerd, and so `docker save`, keep the whole name apart from the layout's own. */
const nameKeys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]

/** The image of that tag, or the only one. */
export const layoutOrigin = (
  reference: string,
  files: SourceFiles,
  tag: string | undefined
): Effect.Effect<LocalOrigin, PullError> =>
  Effect.gen(function* () {
    yield* decode(reference, files, "oci-layout", LayoutVersion)
    const { manifests } = yield* decode(reference, files, "index.json", LayoutIndex)
    const namesOf = ({ annotations = {} }: (typeof manifests)[number]) =>
      nameKeys.flatMap((key) => (Object.hasOwn(annotations, key) ? [annotations[key] ?? ""] : []))
    const fitting = tag === undefined ? manifests : manifests.filter((entry) => namesOf(entry).includes(tag))
    const [chosen, ...others] = fitting
    if (chosen === undefined || (tag === undefined && others.length > 0)) {
      const names = [...new Set(manifests.flatMap(namesOf))]
        .slice(0, 50)
        .map((name) => JSON.stringify(name.slice(0, 200)))
      const has = `it has ${names.length === 0 ? `${manifests.length} images without a name` : names.join(", ")}`
      return yield* new ImageNotFound({
        reference,
        reason: tag === undefined ? `it does not hold exactly one image; ${has}` : `no image is tagged ${tag}; ${has}`
      })
    }
    const nameOf = ({ digest }: BlobDescriptor) => `blobs/sha256/${digest.slice("sha256:".length)}`
    const document = (descriptor: BlobDescriptor) =>
      Effect.gen(function* () {
        const bytes = yield* readSmall(files, reference, nameOf(descriptor), limits.documentBytes)
        yield* verify(reference, descriptor, bytes)
        return { mediaType: descriptor.mediaType, digest: descriptor.digest, bytes }
      })
    return {
      place: reference,
      names: namesOf(chosen).filter((name) => /[/:]/.test(name)),
      root: document(chosen),
      document,
      download: (descriptor, part) =>
        Effect.scoped(
          Effect.flatMap(files.open(nameOf(descriptor)), ({ bytes }) => {
            const from = part.offset()
            return part.append(from, bytes(from))
          })
        )
    }
  })

const decode = <A, I>(reference: string, files: SourceFiles, name: string, schema: Schema.Schema<A, I>) =>
  Effect.gen(function* () {
    const bytes = yield* readSmall(files, reference, name, limits.documentBytes)
    const value = yield* parseDocument(reference, "index", bytes, limits.documentBytes)
    return yield* Effect.mapError(
      Schema.decodeUnknown(schema)(value),
      ({ message }) => new ImageInvalid({ reference, what: "index", reason: `${name}: ${message.slice(0, 500)}` })
    )
  })
