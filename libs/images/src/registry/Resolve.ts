/**
 * From what a name stands for to one image: through indexes to the manifest for a platform.
 */
import { Digest, ImageInvalid, type ImageTooLarge, type PlatformNotFound } from "@aegis/domain"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import {
  type BlobDescriptor,
  decodeManifest,
  type ImageManifest,
  isIndexType,
  limits,
  type PlatformName,
  type RawDocument
} from "./Manifest.ts"
import { selectPlatform } from "./Platform.ts"

/** A manifest or an index as it came, with the digest of its bytes. */
export interface FetchedDocument extends RawDocument {
  readonly digest: Digest
}

export interface ResolvedImage {
  readonly manifest: ImageManifest
  /** The manifest's own bytes. */
  readonly document: FetchedDocument
  /** The indexes that led to it, the outermost first. */
  readonly indexes: ReadonlyArray<FetchedDocument>
}

/** The digest of `bytes`. */
export const digestOf = (bytes: Uint8Array): Digest =>
  Digest.make(`sha256:${createHash("sha256").update(bytes).digest("hex")}`)

/**
 * Follows `root` to the manifest for `wanted`. `fetch` gives the bytes of an index's entry and has verified their digest. An index in
 * an index is followed, a third one refused (T-66).
 */
export const resolveManifest = <E, R>(
  reference: string,
  wanted: PlatformName,
  root: FetchedDocument,
  fetch: (entry: BlobDescriptor) => Effect.Effect<FetchedDocument, E, R>
): Effect.Effect<ResolvedImage, E | ImageInvalid | ImageTooLarge | PlatformNotFound, R> => {
  const follow = (
    document: FetchedDocument,
    indexes: ReadonlyArray<FetchedDocument>
  ): Effect.Effect<ResolvedImage, E | ImageInvalid | ImageTooLarge | PlatformNotFound, R> =>
    Effect.gen(function* () {
      const refuse = (reason: string) => new ImageInvalid({ reference, what: "index", reason })
      const decoded = yield* decodeManifest(reference, document)
      if (decoded._tag === "Manifest") return { manifest: decoded, document, indexes }
      if (indexes.length === limits.indexDepth) return yield* refuse("indexes are nested too deep")
      const entry = yield* selectPlatform(reference, wanted, decoded)
      if (entry.size > limits.documentBytes) return yield* refuse(`${entry.digest} is larger than a manifest may be`)
      const next = yield* fetch(entry)
      if (next.bytes.length !== entry.size) {
        return yield* refuse(
          `${entry.digest} has ${next.bytes.length} bytes, not the ${entry.size} that it is said to have`
        )
      }
      // What the index says of its entry counts as much as what the registry says of it (T-51).
      const known = yield* decodeManifest(reference, { mediaType: entry.mediaType, bytes: next.bytes })
      if (isIndexType(entry.mediaType) !== (known._tag === "Index")) {
        return yield* refuse(`${entry.digest} is not of the type ${entry.mediaType}`)
      }
      return yield* follow(next, [...indexes, document])
    })
  return follow(root, [])
}
