/**
 * How many lines, as typed.
 */
import * as Schema from "effect/Schema"

export const LineCount = Schema.String.pipe(
  Schema.pattern(/^[0-9]{1,9}$/, { message: () => "it is a whole number of lines, of at most nine digits" }),
  Schema.compose(Schema.NumberFromString)
)
