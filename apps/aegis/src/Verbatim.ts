/**
 * Values that pass through the parser as they were typed. It trims every word, and a trailing newline of a variable or a path is
 * part of it (T-6, T-11): between the reading of the command line and the parser, values are JSON strings.
 */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as Schema from "effect/Schema"

const Quoted = Schema.parseJson(Schema.String)

/** A flag's value. */
export const textOption = (name: string): Options.Options<string> => Options.withSchema(Options.text(name), Quoted)

/** The values of a flag that repeats, in their order. */
export const textOptions = (name: string): Options.Options<ReadonlyArray<string>> =>
  Options.withSchema(Options.repeated(Options.text(name)), Schema.mutable(Schema.Array(Quoted)))

/** A positional. */
export const textArgument = (name: string): Args.Args<string> => Args.withSchema(Args.text({ name }), Quoted)
