/**
 * The words behind `--`, kept out of the parser's sight: it would take a guest's `--help` for its own.
 */
import * as Context from "effect/Context"

export class GuestCommand extends Context.Reference<GuestCommand>()("@aegis/app-aegis/GuestCommand", {
  defaultValue: (): ReadonlyArray<string> => []
}) {}
