/**
 * A piece of a file as an answer can carry it: text where it is text, base64 elsewhere, and no more than fits.
 */
import { isUtf8 } from "node:buffer"
import { dataLimit, jsonBytes } from "./OutputLimit.ts"

export interface FileContent {
  /** How many bytes of the piece, from its begin, are in it. */
  readonly bytes: number
  readonly text?: string
  readonly base64?: string
}

/** @param last whether the file ends with the piece: elsewhere its last character may be cut in the middle, and is left for the next. */
export const fileContent = (piece: Uint8Array, last: boolean): FileContent => {
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  const whole = last ? bytes : bytes.subarray(0, bytes.length - cutCharacter(bytes))
  // A NUL is in no text that anybody would read, and takes six bytes each.
  if (isUtf8(whole) && !whole.includes(0) && (whole.length > 0 || bytes.length === 0)) {
    const text = fitting(whole.toString())
    return { bytes: Buffer.byteLength(text), text }
  }
  const encoded = bytes.subarray(0, Math.floor(dataLimit / 4) * 3)
  return { bytes: encoded.length, base64: encoded.toString("base64") }
}

/** How many bytes at the end are the begin of a character whose rest is not there. */
const cutCharacter = (bytes: Buffer): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

/** The begin of the text that fits into an answer. */
const fitting = (text: string): string => {
  let kept = text
  for (let size = jsonBytes(kept); size > dataLimit; size = jsonBytes(kept)) {
    kept = kept.slice(0, Math.floor((kept.length * dataLimit * 0.95) / size))
    if (/[\ud800-\udbff]$/.test(kept)) kept = kept.slice(0, -1)
  }
  return kept
}
