/**
 * SQLite's failures in our words. Its extended result codes are described at https://sqlite.org/rescode.html.
 */
import { DiskFull, StoreBusy, StoreCorrupt, type StoreError, StoreUnavailable } from "@aegis/domain"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { statfs } from "node:fs/promises"

/** SQLite's or the system's code of a failure, however deeply it is wrapped; empty when it has none. */
export const codeOf = (cause: unknown): string => {
  if (typeof cause !== "object" || cause === null) return ""
  if ("code" in cause && typeof cause.code === "string") return cause.code
  return "cause" in cause ? codeOf(cause.cause) : ""
}

const textOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? textOf(cause.cause) : cause.message
}

/** What SQLite said, as an error a person can act on. Fails always. */
export const storeError = (file: string, cause: unknown): Effect.Effect<never, StoreError> => {
  const code = codeOf(cause)
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return new StoreBusy({ path: file })
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") return new DiskFull({ path: file })
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return new StoreCorrupt({ path: file, reason: textOf(cause) })
  const unavailable = new StoreUnavailable({ path: file, reason: textOf(cause), remedy: remedyOf(code) })
  // Some places of SQLite call a full disk an I/O error.
  if (!/^SQLITE_(IOERR|CANTOPEN)/.test(code)) return unavailable
  return Effect.flatMap(hasNoRoom(file), (full) => Effect.fail(full ? new DiskFull({ path: file }) : unavailable))
}

const remedyOf = (code: string): string => {
  if (/^SQLITE_(READONLY|CANTOPEN|PERM|AUTH)|^E(ACCES|PERM|ROFS)$/.test(code)) {
    return "check the owner and mode of the file and its directory, and that the file system is not mounted read-only"
  }
  return /^SQLITE_IOERR/.test(code)
    ? "check the disk (dmesg), its quota, and the limits on open files and file sizes; then start aegisd again"
    : "this is a bug of AegisVM: please report it with this message"
}

const hasNoRoom = (file: string) =>
  Effect.tryPromise(() => statfs(file)).pipe(
    Effect.map(({ bavail }) => bavail === 0),
    Effect.orElseSucceed(() => false)
  )

/** Replaces an `SqlError` among the failures by what it means; the others pass. */
export const mapSqlError =
  (file: string) =>
  <A, E, R>(effect: Effect.Effect<A, E | SqlError, R>): Effect.Effect<A, Exclude<E, SqlError> | StoreError, R> =>
    Effect.catchAll(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | StoreError> =>
      isNotSqlError<E>(error) ? Effect.fail(error) : storeError(file, error)
    )

const isNotSqlError = <E>(error: E | SqlError): error is Exclude<E, SqlError> => !(error instanceof SqlError)
