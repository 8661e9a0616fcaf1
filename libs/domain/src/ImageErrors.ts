/**
 * What can go wrong between an image's name and a root disk (`T-49` to `T-113`). Same rules as in Errors.ts.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { DiskFull } from "./Errors.ts"

/** What was typed is no image reference. */
export class ImageRefInvalid extends Schema.TaggedError<ImageRefInvalid>()(
  "ImageRefInvalid",
  { reference: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 400 })
) {
  override get message() {
    return `image ${JSON.stringify(this.reference)}: ${this.reason}`
  }
  get remedy() {
    return "name it as NAME[:TAG] or NAME@sha256:DIGEST, or as oci:DIR, oci-archive:FILE, docker-archive:FILE or rootfs:FILE.tar"
  }
}

/** The registry, or the local source, does not have it: the image, its tag, or one of its blobs. */
export class ImageNotFound extends Schema.TaggedError<ImageNotFound>()(
  "ImageNotFound",
  { reference: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `image ${this.reference}: ${this.reason}`
  }
  get remedy() {
    return "check the name and the tag; aegis image list shows what is here already"
  }
}

/** Its documents or layers are malformed, contradict each other, or are of a kind that is not supported. */
export class ImageInvalid extends Schema.TaggedError<ImageInvalid>()(
  "ImageInvalid",
  {
    reference: Schema.String,
    what: Schema.Literal("digest", "manifest", "index", "config", "layer", "archive"),
    reason: Schema.String
  },
  HttpApiSchema.annotations({ status: 422 })
) {
  override get message() {
    return `image ${this.reference}: ${this.what}: ${this.reason}`
  }
  get remedy() {
    return "the image cannot be used as it is; have it built or pushed anew"
  }
}

/** An index without an entry for this machine. */
export class PlatformNotFound extends Schema.TaggedError<PlatformNotFound>()(
  "PlatformNotFound",
  { reference: Schema.String, wanted: Schema.String, available: Schema.Array(Schema.String) },
  HttpApiSchema.annotations({ status: 422 })
) {
  override get message() {
    const there = this.available.length === 0 ? "none at all" : this.available.join(", ")
    return `image ${this.reference} has nothing for ${this.wanted}; it has ${there}`
  }
  get remedy() {
    return "choose an image that was built for this machine's architecture"
  }
}

/** Bytes that are not what their digest, diff_id or size says. Nothing of them is kept. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()(
  "DigestMismatch",
  { reference: Schema.String, what: Schema.String, expected: Schema.String, actual: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `image ${this.reference}: ${this.what} should be ${this.expected} and is ${this.actual}`
  }
  get remedy() {
    return "nothing was kept; try again, and if it happens again, do not trust the registry or what stands between it and you"
  }
}

/** The image is larger than this runtime unpacks. */
export class ImageTooLarge extends Schema.TaggedError<ImageTooLarge>()(
  "ImageTooLarge",
  { reference: Schema.String, what: Schema.String, limit: Schema.String },
  HttpApiSchema.annotations({ status: 422 })
) {
  override get message() {
    return `image ${this.reference}: ${this.what} is over the limit of ${this.limit}`
  }
  get remedy() {
    return "use a smaller image"
  }
}

/** The registry wants a login, or refused ours. */
export class RegistryDenied extends Schema.TaggedError<RegistryDenied>()(
  "RegistryDenied",
  { registry: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `registry ${this.registry} denied it: ${this.reason}`
  }
  get remedy() {
    return `docker login ${this.registry} (or skopeo login), or check that the image exists and is public`
  }
}

/** It could not be reached, was too busy, or broke the connection too often. */
export class RegistryUnavailable extends Schema.TaggedError<RegistryUnavailable>()(
  "RegistryUnavailable",
  {
    registry: Schema.String,
    cause: Schema.Literal("dns", "connect", "tls", "timeout", "busy", "broken", "proxy", "config"),
    reason: Schema.String
  },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `registry ${this.registry} cannot be used: ${this.reason}`
  }
  get remedy() {
    switch (this.cause) {
      case "tls":
        return "check the machine's clock and certificates; a registry without TLS must be named as insecure in registries.json"
      case "config":
        return "correct registries.json, or remove it"
      case "proxy":
        return "check the variables HTTPS_PROXY and NO_PROXY that the daemon was started with"
      case "busy":
        return "wait a minute and try again; a login often raises the registry's limit"
      default:
        return "check the network and the registry's name; an image that was pulled before starts without a network"
    }
  }
}

/** It answered what no registry may answer. */
export class RegistryProtocol extends Schema.TaggedError<RegistryProtocol>()(
  "RegistryProtocol",
  { registry: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `registry ${this.registry}: ${this.reason}`
  }
  get remedy() {
    return "check that the name is a registry's and that no proxy answers in its place"
  }
}

/** A download that hardly moves any more. */
export class PullStalled extends Schema.TaggedError<PullStalled>()(
  "PullStalled",
  { registry: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 504 })
) {
  override get message() {
    return `the download from ${this.registry} stalled: ${this.reason}`
  }
  get remedy() {
    return "try again: what has come already is kept and not downloaded twice"
  }
}

/** What reading a registry can fail with. */
export const RegistryError = Schema.Union(
  ImageNotFound,
  ImageInvalid,
  ImageTooLarge,
  DigestMismatch,
  RegistryDenied,
  RegistryUnavailable,
  RegistryProtocol,
  PullStalled
)
export type RegistryError = typeof RegistryError.Type

/** The store of images on this machine is not as we left it. */
export class ImageStoreCorrupt extends Schema.TaggedError<ImageStoreCorrupt>()(
  "ImageStoreCorrupt",
  { path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
  get remedy() {
    return "aegis image prune --all empties the store; images are then pulled again"
  }
}

/** The machine did not let us read or write where images are kept: a mode, a limit on open files, a broken disk. */
export class ImageStoreFailed extends Schema.TaggedError<ImageStoreFailed>()(
  "ImageStoreFailed",
  { path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
  get remedy() {
    return `check the owner and mode of ${this.path}, and the limit on open files`
  }
}

/** It may not be removed: an instance was started from it, and could not start again without it. */
export class ImageInUse extends Schema.TaggedError<ImageInUse>()(
  "ImageInUse",
  { reference: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `image ${this.reference} is in use`
  }
  get remedy() {
    return "delete the instances that were started from it first: aegis instance list shows them"
  }
}

/** Everything that getting an image and its root disk can fail with. */
export const PullError = Schema.Union(
  RegistryError,
  PlatformNotFound,
  DigestMismatch,
  ImageTooLarge,
  ImageStoreCorrupt,
  ImageStoreFailed,
  DiskFull
)
export type PullError = typeof PullError.Type
