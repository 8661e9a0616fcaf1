/**
 * `HANDLE_OR_ID`, as typed.
 */
import { InstanceTarget } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UsageError } from "./Errors.ts"

/** Refuses what can name no instance; the daemon looks up the rest (S-015). */
export const readTarget = (text: string): Effect.Effect<string, UsageError> =>
  Effect.mapError(
    Schema.decode(InstanceTarget)(text),
    () =>
      new UsageError({
        message: `invalid HANDLE_OR_ID: ${text === "" ? "it is empty" : `it has ${text.length} characters, at most 128 are possible`}`,
        remedy: "aegis instance list shows what there is"
      })
  )
