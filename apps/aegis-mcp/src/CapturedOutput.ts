/**
 * A command's output as a tool answers with it: its two streams apart, each cut in its middle where it is long.
 */
import type { Output } from "@aegis/domain"
import * as Schema from "effect/Schema"
import { dataLimit, Excerpt, outputLimit } from "./OutputLimit.ts"

/** One of the two streams. */
export const Captured = Schema.Struct({
  text: Schema.String,
  bytes: Schema.Int.annotations({ description: "How many there were in all." }),
  truncated: Schema.Boolean
})

/** The fields of a tool's answer that `CapturedOutput.shown` fills. */
export const capturedFields = {
  stdout: Captured,
  stderr: Captured,
  note: Schema.optional(Schema.String.annotations({ description: "How to get what is missing, where something is." }))
}

/** Takes output as it comes, in bounded memory. */
export class CapturedOutput {
  readonly #stdout = new Excerpt(outputLimit / 2)
  readonly #stderr = new Excerpt(outputLimit / 2)

  push({ bytes, stream }: Output): void {
    const excerpt = stream === "stdout" ? this.#stdout : this.#stderr
    excerpt.push(bytes)
  }

  /** How many bytes came in all. */
  get bytes(): number {
    return this.#stdout.bytes + this.#stderr.bytes
  }

  /** Both streams within one answer's limit, with a word on how to get the rest where they are cut. */
  shown(howToGoOn: string) {
    const stdout = captured(this.#stdout)
    const stderr = captured(this.#stderr)
    return { stdout, stderr, ...(stdout.truncated || stderr.truncated ? { note: howToGoOn } : {}) }
  }
}

const captured = (excerpt: Excerpt) => ({ ...excerpt.text(dataLimit * 0.45), bytes: excerpt.bytes })
