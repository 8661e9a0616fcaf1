/**
 * Secrets: values with a name that guests are given as variables, when they are asked for by name and never otherwise.
 */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** What a guest's program finds in its environment. `AEGIS_…` is ours; an object cannot carry `__proto__` over the wire. */
const variableName = Schema.String.pipe(
  Schema.maxLength(128, { message: () => "a name has at most 128 characters" }),
  Schema.pattern(/^[A-Za-z_][A-Za-z0-9_]*$/, {
    message: () => "a name is letters, digits and '_', and does not begin with a digit"
  }),
  Schema.filter((name) =>
    name.startsWith("AEGIS_") ? "names that begin with AEGIS_ are kept for AegisVM" : undefined
  ),
  Schema.filter((name) => (name === "__proto__" ? "this name cannot be used" : undefined))
)

/** A secret's name: one that a variable can have, since that is what it becomes (T-118). */
export const SecretName = variableName.pipe(Schema.brand("@aegis/SecretName"))
export type SecretName = typeof SecretName.Type

/** The most that one value may have (T-119). */
export const maxSecretBytes = 64 * 1024

/** What is shown of a secret; never its value (S-175). */
export class SecretInfo extends Schema.Class<SecretInfo>("SecretInfo")({
  name: SecretName,
  /** How often it was set: 1 for a new one. */
  version: Schema.Int.pipe(Schema.positive()),
  /** When this value was set. */
  createdAt: Schema.DateTimeUtc
}) {}

/** A name and its value on the way into the store. The value is checked there, where no message can repeat it. */
export class NewSecret extends Schema.Class<NewSecret>("NewSecret")({
  name: SecretName,
  value: Schema.Redacted(Schema.String)
}) {}

/** One secret, as a variable of this name. */
export class NamedSecret extends Schema.TaggedClass<NamedSecret>("NamedSecret")("Named", {
  name: SecretName,
  variable: variableName
}) {}
/** All that there are when the guest starts, each under its own name. */
export class AllSecrets extends Schema.TaggedClass<AllSecrets>("AllSecrets")("All", {}) {}

export const SecretRequest = Schema.Union(NamedSecret, AllSecrets)
export type SecretRequest = typeof SecretRequest.Type

/** As `--secret` takes it, and REST: `KEY`, `KEY=VARIABLE`, or `*` for all. */
export const SecretRequestText = Schema.transformOrFail(Schema.String, Schema.typeSchema(SecretRequest), {
  strict: true,
  decode: (text) => {
    if (text === "*") return ParseResult.succeed(new AllSecrets())
    const equals = text.indexOf("=")
    const name = equals === -1 ? text : text.slice(0, equals)
    return ParseResult.decodeUnknown(NamedSecret)({ _tag: "Named", name, variable: text.slice(equals + 1) })
  },
  encode: (request) => ParseResult.succeed(secretRequestText(request))
})

/** The inverse of reading it. */
export const secretRequestText = (request: SecretRequest): string => {
  if (request._tag === "All") return "*"
  return request.name === request.variable ? request.name : `${request.name}=${request.variable}`
}
