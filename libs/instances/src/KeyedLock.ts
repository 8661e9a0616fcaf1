import * as Effect from "effect/Effect"

/** Runs effects of one key one after the other, those of different keys at the same time. Keeps nothing for a key that is not in use. */
export const make = <K>() => {
  const held = new Map<K, { readonly semaphore: Effect.Semaphore; users: number }>()
  return (key: K) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const entry = held.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
          entry.users++
          held.set(key, entry)
          return entry
        }),
        (entry) => entry.semaphore.withPermits(1)(effect),
        (entry) =>
          Effect.sync(() => {
            entry.users--
            if (entry.users === 0) held.delete(key)
          })
      )
}
