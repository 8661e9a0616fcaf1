/**
 * What can be named as an image: one in a registry, or files of this machine.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { ImageRefInvalid } from "./ImageErrors.ts"
import { ImageReference, parseImageReference } from "./ImageReference.ts"

/** A path as it came from the CLI, which has made it absolute. */
const AbsolutePath = Schema.String.pipe(
  Schema.maxLength(4096),
  Schema.pattern(/^\/[^\0]*$/, { message: () => "a path must be absolute" })
)

/** A name within an image layout: its index's annotation `org.opencontainers.image.ref.name`. */
const LayoutName = Schema.String.pipe(
  Schema.maxLength(512),
  Schema.pattern(/^[\x21-\x7e]+$/, { message: () => "a tag consists of printable ASCII characters" })
)

/** `alpine:3.21` */
export class RegistryImage extends Schema.TaggedClass<RegistryImage>()("RegistryImage", {
  reference: ImageReference
}) {}

/** `oci:DIR[:TAG]`: an image layout. Without a tag it must hold one image. */
export class OciDirectory extends Schema.TaggedClass<OciDirectory>()("OciDirectory", {
  path: AbsolutePath,
  tag: Schema.optionalWith(LayoutName, { exact: true })
}) {}

/** `oci-archive:FILE[:TAG]`: an image layout in a tar archive. */
export class OciArchive extends Schema.TaggedClass<OciArchive>()("OciArchive", {
  path: AbsolutePath,
  tag: Schema.optionalWith(LayoutName, { exact: true })
}) {}

/** `docker-archive:FILE[:REF]`: what `docker save` writes. */
export class DockerArchive extends Schema.TaggedClass<DockerArchive>()("DockerArchive", {
  path: AbsolutePath,
  reference: Schema.optionalWith(ImageReference, { exact: true })
}) {}

/** `rootfs:FILE.tar`: a root file system as it is, whiteout names included. */
export class RootfsTar extends Schema.TaggedClass<RootfsTar>()("RootfsTar", { path: AbsolutePath }) {}

export const ImageSource = Schema.Union(RegistryImage, OciDirectory, OciArchive, DockerArchive, RootfsTar)
export type ImageSource = typeof ImageSource.Type

/** A source that is read from this machine's files. */
export type LocalSource = Exclude<ImageSource, RegistryImage>

/**
 * Reads what a person typed. A prefix decides: an image named `oci` is written `docker.io/library/oci`. As with skopeo, a path
 * ends at the first colon; only `rootfs:` has none after it, and takes the rest as it is.
 */
export const parseImageSource = (text: string): Effect.Effect<ImageSource, ImageRefInvalid> => {
  const invalid = (reason: string) => new ImageRefInvalid({ reference: text.slice(0, 300), reason })
  const local = (fields: Record<string, unknown>) =>
    Effect.mapError(Schema.decodeUnknown(Local)(fields), (error) =>
      invalid(ParseResult.ArrayFormatter.formatErrorSync(error)[0]?.message ?? "it cannot be read")
    )
  const [, prefix, rest = ""] = /^(oci|oci-archive|docker-archive|rootfs):(.*)$/s.exec(text) ?? []
  const colon = rest.indexOf(":")
  const file = colon < 0 ? rest : rest.slice(0, colon)
  const name = colon < 0 ? undefined : rest.slice(colon + 1)
  const tag = name === undefined ? {} : { tag: name }
  switch (prefix) {
    case "oci":
      return local({ _tag: "OciDirectory", path: file, ...tag })
    case "oci-archive":
      return local({ _tag: "OciArchive", path: file, ...tag })
    case "docker-archive":
      return name === undefined
        ? local({ _tag: "DockerArchive", path: file })
        : Effect.flatMap(parseImageReference(name), (reference) =>
            local({ _tag: "DockerArchive", path: file, reference: { ...reference } })
          )
    case "rootfs":
      return local({ _tag: "RootfsTar", path: rest })
    default:
      return Effect.map(parseImageReference(text), (reference) => new RegistryImage({ reference }))
  }
}

const Local = Schema.Union(OciDirectory, OciArchive, DockerArchive, RootfsTar)

/** The source as text that is read as the same source; equal for equal sources. The name under which a store keeps it. */
export const imageSourceName = (source: ImageSource): string => {
  const suffix = (name: string | undefined) => (name === undefined ? "" : `:${name}`)
  switch (source._tag) {
    case "RegistryImage":
      return source.reference.canonical
    case "OciDirectory":
      return `oci:${source.path}${suffix(source.tag)}`
    case "OciArchive":
      return `oci-archive:${source.path}${suffix(source.tag)}`
    case "DockerArchive":
      return `docker-archive:${source.path}${suffix(source.reference?.canonical)}`
    case "RootfsTar":
      return `rootfs:${source.path}`
  }
}
