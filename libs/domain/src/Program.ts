/**
 * What runs in a guest: its command line, its environment, where.
 */
import * as Schema from "effect/Schema"
import { maxCommandBytes } from "./Resources.ts"

const noNul = <S extends Schema.Schema<string, string>>(schema: S) =>
  schema.pipe(Schema.filter((text) => (text.includes("\0") ? "a NUL byte cannot be passed to a program" : undefined)))

/** The primary command: argv, never a shell line (S-009). The first element names the program. */
export const Command = Schema.NonEmptyArray(noNul(Schema.String)).pipe(
  Schema.filter((argv) => (argv[0] === "" ? "the command's first word is empty" : undefined)),
  Schema.filter((argv) => {
    const bytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0)
    return bytes > maxCommandBytes
      ? `the command has ${bytes} bytes; at most ${maxCommandBytes} are possible`
      : undefined
  })
)
export type Command = typeof Command.Type

/**
 * Environment variables: names as execve(2) can carry them (T-6, T-32). A filter, since a record's key schema drops the keys
 * it does not match.
 */
export const Environment = Schema.Record({ key: Schema.String, value: noNul(Schema.String) }).pipe(
  Schema.filter((variables) => {
    const bad = Object.keys(variables).find((name) => !/^[^=\0]+$/.test(name))
    return bad === undefined
      ? undefined
      : `a variable's name is not empty and holds neither '=' nor NUL: ${JSON.stringify(bad)}`
  })
)
export type Environment = typeof Environment.Type

/** An absolute path inside a guest. */
export const GuestPath = noNul(
  Schema.String.pipe(
    Schema.startsWith("/", { message: () => "it is an absolute path of the guest" }),
    Schema.maxLength(4096)
  )
)
