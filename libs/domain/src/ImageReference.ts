/**
 * Names of images, by the grammar of the distribution project's `reference` package and the shorthands that people know:
 * `alpine` is `docker.io/library/alpine:latest`.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { ImageRefInvalid } from "./ImageErrors.ts"

/**
 * The sha256 of some bytes: `sha256:` and 64 hex digits in lower case. The only algorithm: what is no `Digest` gets into no path
 * and no URL (T-56, T-57).
 */
export const Digest = Schema.String.pipe(
  Schema.pattern(/^sha256:[0-9a-f]{64}$/, { message: () => "a digest is sha256: and 64 hex digits in lower case" }),
  Schema.brand("@aegis/Digest")
)
export type Digest = typeof Digest.Type

/** A host and perhaps a port: names, IPv4 addresses, IPv6 addresses in brackets; lower case. */
const RegistryHost = Schema.String.pipe(
  Schema.maxLength(255),
  Schema.filter((text) => hostFault(text))
)

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const Repository = Schema.String.pipe(Schema.pattern(repositoryPattern), Schema.maxLength(255))

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const Tag = Schema.String.pipe(Schema.pattern(tagPattern))

const defaultRegistry = "docker.io"
const official = "library/"

/** An image in a registry. Without a digest there is a tag; with both, the digest decides. */
export class ImageReference extends Schema.Class<ImageReference>("ImageReference")(
  Schema.Struct({
    registry: RegistryHost,
    repository: Repository,
    tag: Schema.optionalWith(Tag, { exact: true }),
    digest: Schema.optionalWith(Digest, { exact: true })
  }).pipe(
    Schema.filter(({ digest, tag }) =>
      tag === undefined && digest === undefined ? "a reference has a tag or a digest" : undefined
    )
  )
) {
  /** The whole name, `docker.io/library/alpine:3.21`: equal for equal images, and a reference itself. */
  get canonical(): string {
    return `${this.registry}/${this.repository}${this.suffix}`
  }
  /** As people write it, `alpine:3.21`; a reference to the same image. */
  get familiar(): string {
    if (this.registry !== defaultRegistry) return this.canonical
    const isOfficial = this.repository.startsWith(official) && !this.repository.includes("/", official.length)
    const name = isOfficial ? this.repository.slice(official.length) : this.repository
    const short = `${name}${this.suffix}`
    // Some first words would be read as a host, and 64 hex digits as nothing at all.
    const isRead = Either.match(parse(short), {
      onLeft: () => false,
      onRight: (read) => read.canonical === this.canonical
    })
    return isRead ? short : this.canonical
  }
  /** The same repository, by digest alone: what an index's entry is fetched as. */
  at(digest: Digest): ImageReference {
    return new ImageReference({ registry: this.registry, repository: this.repository, digest })
  }
  private get suffix(): string {
    return `${this.tag === undefined ? "" : `:${this.tag}`}${this.digest === undefined ? "" : `@${this.digest}`}`
  }
}

/** A reference as text: decodes every form that people write, encodes the canonical one. */
export const ImageReferenceText = Schema.transformOrFail(Schema.String, Schema.typeSchema(ImageReference), {
  strict: true,
  decode: (text, _, ast) =>
    Either.mapLeft(
      parse(text),
      (reason) => new ParseResult.Type(ast, text, `image ${JSON.stringify(text)}: ${reason}`)
    ),
  encode: (reference) => ParseResult.succeed(reference.canonical)
})

/** Reads what a person typed. */
export const parseImageReference = (text: string): Effect.Effect<ImageReference, ImageRefInvalid> =>
  Either.mapLeft(parse(text), (reason) => new ImageRefInvalid({ reference: text.slice(0, 300), reason }))

/** The reference, or why it is none. */
const parse = (text: string): Either.Either<ImageReference, string> => {
  if (text === "") return Either.left("the name is empty")
  // 255 for the name, 129 for the tag, 72 for the digest.
  if (text.length > 456) return Either.left("it is longer than 456 characters")
  if (/^[0-9a-f]{64}$/.test(text)) return Either.left("64 hex digits are an id, not a name")
  const at = text.indexOf("@")
  const named = at < 0 ? text : text.slice(0, at)
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !Schema.is(Digest)(digest)) {
    return Either.left("a digest is sha256: and 64 hex digits in lower case")
  }
  // A colon after the last slash begins the tag; before it, a port.
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1)
  const name = colon < 0 ? named : named.slice(0, colon)
  const written = colon < 0 ? undefined : named.slice(colon + 1)
  if (written !== undefined && !tagPattern.test(written)) {
    return Either.left("a tag is 1 to 128 letters, digits, '_', '.' and '-', and begins with none of the last two")
  }
  const { registry, repository } = splitName(name)
  const hostReason = hostFault(registry)
  if (hostReason !== undefined) return Either.left(hostReason)
  if (/[A-Z]/.test(repository)) return Either.left("a repository's name is in lower case")
  if (!repositoryPattern.test(repository)) {
    return Either.left(
      "a repository's name is words of a-z and 0-9 with '.', '_', '__' or '-' between them, and '/' between parts"
    )
  }
  if (registry.length + 1 + repository.length > 255) return Either.left("the name is longer than 255 characters")
  const tag = written ?? (digest === undefined ? "latest" : undefined)
  return Either.right(
    new ImageReference({
      registry,
      repository,
      ...(tag === undefined ? {} : { tag }),
      ...(digest === undefined ? {} : { digest })
    })
  )
}

/** What stands before the first slash is a registry when it looks like a host: a dot, a port, or `localhost`. */
const splitName = (name: string) => {
  const slash = name.indexOf("/")
  const first = name.slice(0, Math.max(slash, 0)).toLowerCase()
  const isHost = slash > 0 && (/[.:[]/.test(first) || first === "localhost")
  const registry = !isHost || first === "index.docker.io" ? defaultRegistry : first
  const repository = isHost ? name.slice(slash + 1) : name
  return {
    registry,
    repository: registry === defaultRegistry && !repository.includes("/") ? `${official}${repository}` : repository
  }
}

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
const hostPattern = new RegExp(
  `^(?:${label}(?:\\.${label})*|\\[[0-9a-f:]{2,39}(?:\\.[0-9.]{1,11})?\\])(?::([0-9]{1,5}))?$`
)

const hostFault = (host: string): string | undefined => {
  const match = hostPattern.exec(host)
  if (match === null || !URL.canParse(`https://${host}`)) return `"${host}" is no registry's host name`
  const port = match[1]
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return `${port} is no port`
  return undefined
}
