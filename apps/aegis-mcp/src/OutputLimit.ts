/**
 * What one call may answer with: a model's context is small, and a guest can print without end. Sizes are those of the JSON that is
 * sent, since a control character takes one byte in a guest and six in a frame.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The largest structured content of one call, in bytes of JSON. */
export const outputLimit = 64 * 1024

/** What is left for the data when names, braces and the fields beside it are counted. */
export const dataLimit = outputLimit - 4096

export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? "")

/** The text, or its begin and its end with a marker between them, in at most `limit` bytes of JSON. */
export const clipText = (text: string, limit: number): string => {
  let half = Math.floor(text.length / 2)
  let clipped = text
  while (jsonBytes(clipped) > limit && half > 0) {
    half = Math.floor(Math.min(half * 0.8, limit / 2))
    const left = text.length - 2 * half
    clipped = `${text.slice(0, half)}\n[... ${left} characters left out ...]\n${half === 0 ? "" : text.slice(-half)}`
  }
  return clipped
}

const longestText = 400
const longestList = 64

/** The same JSON with its long strings and long lists of words cut: a command or a console's tail has no place in a list of instances. */
export const clipJson = (value: unknown, longest = longestText): unknown => {
  if (typeof value === "string") return clipText(value, longest)
  if (Array.isArray(value)) {
    const shown = value.slice(0, longestList).map((item) => clipJson(item, longest))
    const isText = typeof value[0] === "string"
    return value.length > longestList && isText ? [...shown, `[... ${value.length - longestList} left out ...]`] : shown
  }
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, clipJson(field, longest)]))
}

export interface Page<A> {
  readonly items: ReadonlyArray<A>
  /** Whether there are more than these. */
  readonly more: boolean
}

/** The first of them, as many as fit; the rest is not read. One at least, where there is one. */
export const page = <A, E, R>(items: Stream.Stream<A, E, R>, most = Infinity): Effect.Effect<Page<A>, E, R> =>
  Effect.suspend(() => {
    const taken: Array<A> = []
    let more = false
    let size = 0
    const take = (item: A) => {
      size += jsonBytes(item) + 1
      more = taken.length > 0 && (taken.length >= most || size > dataLimit)
      if (!more) taken.push(item)
      return !more
    }
    return Effect.as(
      Stream.runForEachWhile(items, (item) => Effect.sync(() => take(item))),
      undefined
    ).pipe(Effect.map(() => ({ items: taken, more })))
  })

/** The begin and the end of a stream of bytes, in bounded memory, as text. */
export class Excerpt {
  readonly #half: number
  #head = Buffer.alloc(0)
  #tail = Buffer.alloc(0)
  #bytes = 0

  constructor(limit: number) {
    this.#half = Math.floor(limit / 2)
  }

  push(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    const room = this.#half - this.#head.length
    if (room > 0) this.#head = Buffer.concat([this.#head, bytes.subarray(0, room)])
    if (bytes.length > room) this.#tail = Buffer.concat([this.#tail, bytes.subarray(Math.max(room, 0))])
    if (this.#tail.length > this.#half) this.#tail = this.#tail.subarray(-this.#half)
  }

  /** How many bytes came in all. */
  get bytes(): number {
    return this.#bytes
  }

  /** In at most `limit` bytes of JSON, and whether something is missing. */
  text(limit: number): { readonly text: string; readonly truncated: boolean } {
    const left = this.#bytes - this.#head.length - this.#tail.length
    const whole =
      left === 0
        ? Buffer.concat([this.#head, this.#tail]).toString()
        : `${this.#head.toString()}\n[... ${left} bytes left out ...]\n${this.#tail.toString()}`
    const text = clipText(whole, limit)
    return { text, truncated: left > 0 || text !== whole }
  }
}
