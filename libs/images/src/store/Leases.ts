/**
 * What may not be removed just now, because somebody works with it: blobs by their digest, disks by their path.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Leases {
  /** Holds until the scope closes. Any number may hold the same. */
  readonly hold: (key: string) => Effect.Effect<void, never, Scope.Scope>
  /** Whether anybody holds it. Ask and remove in one synchronous step: what is held a moment later is looked for anew. */
  readonly isHeld: (key: string) => boolean
}

export const make = (): Leases => {
  const holders = new Map<string, number>()
  const count = (key: string, change: number) => {
    const left = (holders.get(key) ?? 0) + change
    if (left === 0) holders.delete(key)
    else holders.set(key, left)
  }
  return {
    hold: (key) =>
      Effect.acquireRelease(
        Effect.sync(() => count(key, 1)),
        () => Effect.sync(() => count(key, -1))
      ),
    isHeld: (key) => holders.has(key)
  }
}
