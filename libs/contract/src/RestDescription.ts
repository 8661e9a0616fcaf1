/**
 * What OpenAPI says of the answers that no endpoint names: the generator describes its library's own, and the daemon gives others.
 */
import * as JSONSchema from "effect/JSONSchema"
import * as Predicate from "effect/Predicate"
import { RestErrorBody } from "./RestError.ts"

const { $schema: _, ...errorBody } = JSONSchema.make(RestErrorBody)

/** The library's error and its parts, of which nothing is left when the error is ours. */
const replaced = ["HttpApiDecodeError", "Issue", "PropertyKey"]

const ofTheLibrary = "#/components/schemas/HttpApiDecodeError"
const ours = "#/components/schemas/RestError"

/** What every request with a body may be answered with before an endpoint sees it. */
const ofBodies = {
  408: "The body was not there in time",
  413: "The body is too large",
  415: "The body is not JSON in UTF-8, or is compressed"
}

const answer = (description: string) => ({
  description,
  content: { "application/json": { schema: { $ref: ours } } }
})

const redirected = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(redirected)
  if (!Predicate.isRecord(value)) return value
  const { $ref, ...rest } = value
  const fields = Object.entries(rest).map(([name, field]) => [name, redirected(field)] as const)
  return { ...Object.fromEntries(fields), ...($ref === undefined ? {} : { $ref: $ref === ofTheLibrary ? ours : $ref }) }
}

/** The description with our errors in the place of the library's, and with those of bodies. */
export const asAnswered = (description: Record<string, unknown>): Record<string, unknown> => {
  const { components, paths, ...rest } = description
  if (!Predicate.isRecord(components) || !Predicate.isRecord(components["schemas"]) || !Predicate.isRecord(paths)) {
    return description
  }
  const schemas = Object.entries(components["schemas"]).filter(([name]) => !replaced.includes(name))
  const kept = redirected({ ...components, schemas: { ...Object.fromEntries(schemas), RestError: errorBody } })
  return { ...rest, paths: mapRecord(paths, (path) => mapRecord(path, withBodies)), components: kept }
}

const mapRecord = (value: unknown, change: (field: unknown) => unknown): unknown =>
  Predicate.isRecord(value)
    ? Object.fromEntries(Object.entries(value).map(([name, field]) => [name, change(field)]))
    : value

const withBodies = (operation: unknown): unknown => {
  if (!Predicate.isRecord(operation)) return operation
  const known = redirected(operation["responses"])
  const bodies = operation["requestBody"] === undefined ? {} : mapRecord(ofBodies, (text) => answer(String(text)))
  const responses = { ...(Predicate.isRecord(bodies) ? bodies : {}), ...(Predicate.isRecord(known) ? known : {}) }
  return { ...operation, responses }
}
