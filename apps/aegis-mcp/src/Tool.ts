/**
 * A tool: its name and its Schemas, from which the client gets JSON Schema, and what it does with the daemon.
 */
import type { Aegis, AegisHome } from "@aegis/client"
import { InvalidArgument } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { toolSchema } from "./ToolSchema.ts"

/** What a client shows to its user about a tool before it is called; hints, and no protection. */
export interface Effects {
  /** It changes nothing. */
  readonly readOnly?: true
  /** It may remove what cannot be brought back. */
  readonly destructive?: true
  /** A second call with the same arguments changes nothing more. */
  readonly idempotent?: true
  /** It reaches beyond this machine: registries, or whatever a guest does. */
  readonly openWorld?: true
}

/** How a failure is shown: the domain's errors have all three. */
export interface Failure {
  readonly _tag: string
  readonly message: string
  readonly remedy?: string | undefined
}

/** The call that is being answered. */
export interface Call {
  /** Tells the client how far it is, if it has asked for that. */
  readonly progress: (message: string) => Effect.Effect<void>
}

export interface Tool {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly effects: Effects
  readonly inputSchema: object
  readonly outputSchema: object
  /** Reads the arguments, does it, and gives structured content. */
  readonly call: (input: unknown, call: Call) => Effect.Effect<unknown, Failure, Aegis | AegisHome>
}

export interface Definition<I, IE, O, OE> {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly effects: Effects
  /** A Struct: the protocol wants objects on both sides. */
  readonly input: Schema.Schema<I, IE>
  readonly output: Schema.Schema<O, OE>
  readonly handle: (input: I, call: Call) => Effect.Effect<O, Failure, Aegis | AegisHome>
}

/** The input of a tool that takes no arguments. */
export const NoInput = Schema.Struct({}).annotations({
  jsonSchema: { type: "object", properties: {}, additionalProperties: false }
})

/** Arguments that do not fit are a failure of the call that names them; so are names that the tool does not know. */
export const tool = <I, IE, O, OE>({ handle, input, output, ...about }: Definition<I, IE, O, OE>): Tool => {
  const decode = Schema.decodeUnknown(input, { errors: "all", onExcessProperty: "error" })
  const encode = Schema.encode(output)
  return {
    ...about,
    inputSchema: toolSchema(input),
    outputSchema: toolSchema(output),
    call: Effect.fn(`Tool.${about.name}`)(function* (given, call) {
      const read = yield* Effect.mapError(
        decode(given),
        (error) =>
          new InvalidArgument({
            argument: about.name,
            reason: ParseResult.ArrayFormatter.formatErrorSync(error)
              .map(({ message, path }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
              .join("; "),
            remedy: "look at the tool's input schema and call it again"
          })
      )
      // What a handler gives that its own Schema refuses is a bug of ours.
      return yield* Effect.orDie(encode(yield* handle(read, call)))
    })
  }
}
