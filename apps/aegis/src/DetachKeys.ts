/**
 * Ctrl+P Ctrl+Q: the way out of a terminal that gets every other key.
 */
import * as Effect from "effect/Effect"
import type { InputWriter } from "./GuestSession.ts"

const ctrlP = 0x10
const ctrlQ = 0x11

/**
 * Passes keys on until the two come one behind the other, in one piece or in two; then `leave` is run, and nothing is passed on any more. A
 * Ctrl+P waits for the key behind it.
 */
export const withDetachKeys = (write: InputWriter, leave: Effect.Effect<unknown>): InputWriter => {
  let held = false
  let left = false
  return (bytes, end) =>
    Effect.suspend(() => {
      if (left) return Effect.void
      const keys = held ? Buffer.concat([Buffer.of(ctrlP), bytes]) : bytes
      const out = keys.findIndex((key, at) => key === ctrlP && keys[at + 1] === ctrlQ)
      left = out >= 0
      held = !left && !end && keys.at(-1) === ctrlP
      const passed = write(keys.subarray(0, left ? out : held ? -1 : keys.length), end && !left)
      return left ? Effect.zipRight(passed, leave) : passed
    })
}
