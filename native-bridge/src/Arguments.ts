/**
 * Checks of what goes into a foreign call. The FFI layer wraps integers silently (256 as a uint8 is 0) and C ends a string at
 * its first NUL, so nothing reaches a call that its prototype could not carry unchanged.
 */
import * as Effect from "effect/Effect"
import { KrunArgumentOutOfRange } from "./Failures.ts"

/** A sockaddr_un has 108 bytes for a path, the last of them NUL. */
export const maxSocketPathBytes = 107

/** PATH_MAX counts the terminating NUL. */
export const maxPathBytes = 4095

export type Checked = Effect.Effect<void, KrunArgumentOutOfRange>

const refuse = (call: string, argument: string, value: unknown, expected: string) =>
  new KrunArgumentOutOfRange({ call, argument, value: typeof value === "string" ? value : String(value), expected })

const integer =
  (max: number) =>
  (call: string, argument: string, value: number, min = 0): Checked =>
    Number.isInteger(value) && value >= min && value <= max
      ? Effect.void
      : refuse(call, argument, value, `a whole number from ${min} to ${max}`)

/** From `min` (0 unless given) to 255. */
export const uint8 = integer(0xff)

/** From `min` (0 unless given) to 4294967295. */
export const uint32 = integer(0xffff_ffff)

/** A uint64_t or size_t: as far as a JavaScript number is exact. */
export const uint64 = integer(Number.MAX_SAFE_INTEGER)

/** A file descriptor, or -1 for none. */
export const descriptor = (call: string, argument: string, value: number): Checked =>
  Number.isInteger(value) && value >= -1 && value <= 0x7fff_ffff
    ? Effect.void
    : refuse(call, argument, value, "a file descriptor, or -1")

/** Text without NUL, not empty, at most `maxBytes` in UTF-8. */
export const text = (call: string, argument: string, value: string, maxBytes: number): Checked => {
  if (value === "") return refuse(call, argument, '""', "not empty")
  if (value.includes("\0")) return refuse(call, argument, JSON.stringify(value), "without NUL bytes")
  // A lone surrogate has no UTF-8 form: C would be given another name than the one that was asked for.
  if (/\p{Surrogate}/u.test(value)) return refuse(call, argument, JSON.stringify(value), "well-formed Unicode")
  const bytes = Buffer.byteLength(value)
  return bytes <= maxBytes
    ? Effect.void
    : refuse(call, argument, `${bytes} bytes long`, `at most ${maxBytes} bytes long`)
}

/** A path as the kernel takes it. */
export const path = (call: string, argument: string, value: string): Checked =>
  text(call, argument, value, maxPathBytes)

/** A path that fits a Unix socket's address. */
export const socketPath = (call: string, argument: string, value: string): Checked =>
  text(call, argument, value, maxSocketPathBytes)

/** Six bytes. */
export const mac = (call: string, value: Uint8Array): Checked =>
  value.length === 6 ? Effect.void : refuse(call, "mac", `${value.length} bytes long`, "6 bytes long")
