/**
 * JSON that strangers wrote, as a value: bounded in size and depth, in UTF-8, one object.
 */
import { ImageInvalid, ImageTooLarge } from "@aegis/domain"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"

const maxDepth = 64

const Json = Schema.parseJson()

/** Reads a document of an image. Duplicate keys are as JSON.parse has them: the last counts (T-64). */
export const parseDocument = (
  reference: string,
  what: "manifest" | "index" | "config",
  bytes: Uint8Array,
  limit: number
): Either.Either<object, ImageInvalid | ImageTooLarge> => {
  const refuse = (reason: string) => Either.left(new ImageInvalid({ reference, what, reason }))
  if (bytes.length > limit) {
    return Either.left(new ImageTooLarge({ reference, what: `the ${what}`, limit: `${limit / 1024 ** 2} MiB` }))
  }
  if (bytes.length === 0) return refuse("it is empty")
  // Deeper than any image's: decoders that call themselves would run out of stack.
  if (depthOf(bytes) > maxDepth) return refuse(`it nests deeper than ${maxDepth}`)
  const text = utf8(bytes)
  if (text === undefined) return refuse("it is not in UTF-8")
  const parsed = Schema.decodeEither(Json)(text)
  if (Either.isLeft(parsed)) return refuse(text.trimStart().startsWith("<") ? "it is HTML, not JSON" : "it is not JSON")
  const value = parsed.right
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse("it is no JSON object")
  return Either.right(value)
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const utf8 = (bytes: Uint8Array): string | undefined => Either.getOrUndefined(Either.try(() => decoder.decode(bytes)))

/** How deep brackets nest outside of strings. */
const depthOf = (bytes: Uint8Array): number => {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (inString) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth)
    else if (byte === 0x7d || byte === 0x5d) depth--
  }
  return deepest
}
