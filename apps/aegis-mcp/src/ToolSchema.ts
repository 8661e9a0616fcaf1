/**
 * A Schema as the JSON Schema that clients are shown. What people and models read in it is kept where Effect's generator loses it, and
 * what they could not use is left out.
 */
import * as JSONSchema from "effect/JSONSchema"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** Of a Struct. */
export const toolSchema = <A, I>(schema: Schema.Schema<A, I>): object => {
  const root = JSONSchema.make(schema)
  if (!("properties" in root)) return root
  const properties = Object.entries(root.properties).map(([name, property]) => {
    const told = descriptionOf(schema.ast, name)
    return [
      name,
      Option.match(told, { onNone: () => property, onSome: (description) => ({ ...property, description }) })
    ]
  })
  const { $defs = {}, ...shown } = { ...root, properties: Object.fromEntries(properties) }
  return inlined(shown, $defs)
}

/** The description that a field has been given: the generator knows nothing of one that stands behind a filter or a transformation. */
const descriptionOf = (ast: AST.AST, name: string): Option.Option<string> =>
  Option.fromNullable(AST.getPropertySignatures(ast).find((field) => field.name === name)).pipe(
    Option.flatMap((field) => Option.orElse(AST.getDescriptionAnnotation(field), () => ofType(field.type)))
  )

/** Where a field is optional, that of what it is where it is there. */
const ofType = (ast: AST.AST): Option.Option<string> =>
  Option.orElse(AST.getDescriptionAnnotation(ast), () =>
    AST.isUnion(ast)
      ? Option.fromIterable(ast.types.filter((member) => !AST.isUndefinedKeyword(member))).pipe(Option.flatMap(ofType))
      : Option.none()
  )

/** Names that are a filter's own, such as `between(1, 8)`, and ids that the generator gives to each schema of one kind. */
const unwanted: Readonly<Record<string, RegExp>> = { title: /^\w+\(.*\)$/, $id: /^\/schemas\// }

type Definitions = Readonly<Record<string, object>>

/**
 * With what is defined elsewhere in its place, since clients look for a type and follow no reference; none of ours leads to itself. A
 * filter's name goes, since a client would show it to its user as the argument's, and so does an id, since one that stands twice is refused.
 */
const inlined = (schema: object, definitions: Definitions): object => {
  const { $ref, ...own } = { $ref: undefined, ...schema }
  const name = typeof $ref === "string" ? /^#\/\$defs\/(.+)$/.exec($ref)?.[1] : undefined
  const whole = name === undefined ? own : { ...definitions[name], ...own }
  if (name !== undefined && "$ref" in whole) return inlined(whole, definitions)
  return Object.fromEntries(
    Object.entries(whole)
      .filter(([key, field]) => !(typeof field === "string" && unwanted[key]?.test(field) === true))
      .map(([key, field]) => [key, within(field, definitions)])
  )
}

const within = (value: unknown, definitions: Definitions): unknown => {
  if (Array.isArray(value)) return value.map((item) => within(item, definitions))
  return typeof value === "object" && value !== null ? inlined(value, definitions) : value
}
