import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** The body of every REST error: the message, the tag and what to do next (contract D-15). */
export const RestErrorBody = Schema.Struct({
  error: Schema.String,
  code: Schema.String,
  remedy: Schema.optional(Schema.String)
})

/**
 * A domain error as REST answers with it. One way only: the fields of the error do not travel, so a client reads the code.
 */
export const asRest = <Self extends { readonly _tag: string; readonly message: string; readonly remedy: string }, I>(
  error: Schema.Schema<Self, I>,
  status: number
) =>
  Schema.transformOrFail(RestErrorBody, Schema.typeSchema(error), {
    strict: true,
    decode: (body, _, ast) =>
      ParseResult.fail(new ParseResult.Forbidden(ast, body, "a REST error is read, not rebuilt")),
    encode: ({ _tag, message, remedy }) => ParseResult.succeed({ error: message, code: _tag, remedy })
  }).annotations(HttpApiSchema.annotations({ status }))
