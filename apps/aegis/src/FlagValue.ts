/**
 * What was typed, by its schema.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { UsageError } from "./Errors.ts"

/** The value; where it does not fit, a usage error in the schema's own words. `what` names the flag or argument. */
export const flagValue = <A, I>(
  schema: Schema.Schema<A, I>,
  what: string,
  value: unknown,
  remedy: string
): Effect.Effect<A, UsageError> =>
  Schema.decodeUnknown(schema)(value).pipe(
    Effect.mapError((error) => {
      const reason = ParseResult.ArrayFormatter.formatErrorSync(error)[0]?.message ?? "cannot be used"
      const shown = typeof value === "string" ? `invalid ${what}: ${value} (${reason})` : `invalid ${what}: ${reason}`
      return new UsageError({ message: shown, remedy })
    })
  )
