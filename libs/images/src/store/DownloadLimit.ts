/**
 * How many downloads there are at once: few from each place, so that one that hardly answers leaves room for the others (T-111).
 */
import * as Effect from "effect/Effect"

export type DownloadLimit = <A, E, R>(place: string, download: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** @param perPlace downloads at once from one registry. */
export const make = (perPlace: number): DownloadLimit => {
  const places = new Map<string, { readonly semaphore: Effect.Semaphore; users: number }>()
  const enter = (place: string) =>
    Effect.sync(() => {
      const found = places.get(place) ?? { semaphore: Effect.unsafeMakeSemaphore(perPlace), users: 0 }
      found.users++
      places.set(place, found)
      return found.semaphore
    })
  const leave = (place: string) =>
    Effect.sync(() => {
      const found = places.get(place)
      if (found !== undefined && --found.users === 0) places.delete(place)
    })
  return (place, download) =>
    Effect.acquireUseRelease(
      enter(place),
      (semaphore) => semaphore.withPermits(1)(download),
      () => leave(place)
    )
}
