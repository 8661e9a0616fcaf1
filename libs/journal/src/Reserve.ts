/**
 * Room that is kept for ends: where the disk is full, what takes room is refused, and what gives it back can still be written
 * (T-265).
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import * as fs from "node:fs/promises"

/** Some hundred events, and the pages of the log that they touch. */
const reserveBytes = 1024 * 1024

export interface Reserve {
  /** Lays it aside when it is not there; nothing where there is no room for it. */
  readonly keep: Effect.Effect<void>
  /** Gives it to whoever writes next; says whether it was there. */
  readonly give: Effect.Effect<boolean>
}

export const none: Reserve = { keep: Effect.void, give: Effect.succeed(false) }

/** Beside the database at `file`, as `FILE-reserve`. */
export const at = (file: string): Reserve => {
  const reserve = `${file}-reserve`
  let kept = existsSync(reserve)
  const remove = Effect.promise(() => fs.rm(reserve, { force: true }).catch(() => undefined))
  return {
    keep: Effect.suspend(() =>
      kept
        ? Effect.void
        : Effect.tryPromise(() => fs.writeFile(reserve, randomBytes(reserveBytes), { mode: 0o600 })).pipe(
            Effect.tap(() => Effect.sync(() => (kept = true))),
            // Half of one would only take room.
            Effect.catchAll(() => remove)
          )
    ),
    give: Effect.suspend(() => {
      const given = kept
      kept = false
      return Effect.as(remove, given)
    })
  }
}
