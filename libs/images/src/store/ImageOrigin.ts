/**
 * Where an image comes from, whatever that is: its documents and its blobs by their digest.
 */
import { DigestMismatch, type ImageReference, type PullError } from "@aegis/domain"
import * as Effect from "effect/Effect"
import type { BlobDescriptor } from "../registry/Manifest.ts"
import type { Registry } from "../registry/Registry.ts"
import { digestOf, type FetchedDocument } from "../registry/Resolve.ts"
import type { Part } from "./PartFile.ts"

export interface ImageOrigin {
  /** A name for it: what comes from the same place fails for the same reason, and shares its limit of downloads. */
  readonly place: string
  /** What the image's name stands for: a manifest or an index. */
  readonly root: Effect.Effect<FetchedDocument, PullError>
  /** A manifest or an index by its digest, verified. */
  readonly document: (descriptor: BlobDescriptor) => Effect.Effect<FetchedDocument, PullError>
  readonly download: (descriptor: BlobDescriptor, part: Part) => Effect.Effect<void, PullError>
}

/** Fails where bytes are not what a digest says. */
export const verify = (
  reference: string,
  { digest, size }: Pick<BlobDescriptor, "digest" | "size">,
  bytes: Uint8Array
): Effect.Effect<void, DigestMismatch> => {
  const wrong = (what: string, expected: string, actual: string) =>
    new DigestMismatch({ reference, what: `${what} of ${digest}`, expected, actual })
  if (bytes.byteLength !== size) return wrong("size", `${size}`, `${bytes.byteLength}`)
  const actual = digestOf(bytes)
  return actual === digest ? Effect.void : wrong("content", digest, actual)
}

/** An image in a registry. */
export const registryOrigin = (registry: Registry["Type"], reference: ImageReference): ImageOrigin => ({
  place: reference.registry,
  root: registry.manifest(reference),
  document: (descriptor) =>
    Effect.tap(registry.manifest(reference.at(descriptor.digest)), ({ bytes }) =>
      verify(reference.canonical, descriptor, bytes)
    ),
  download: (descriptor, part) =>
    Effect.scoped(
      Effect.flatMap(registry.blob(reference, descriptor, part.offset()), ({ bytes, startsAt }) =>
        part.append(startsAt, bytes)
      )
    )
})
