/**
 * What a command in a guest writes.
 */
import * as Schema from "effect/Schema"

export const OutputStream = Schema.Literal("stdout", "stderr")
export type OutputStream = typeof OutputStream.Type

/** Bytes of a command, as they came. */
export class Output extends Schema.TaggedClass<Output>()("Output", {
  stream: OutputStream,
  bytes: Schema.Uint8ArrayFromSelf
}) {}
