/**
 * The key that every secret is encrypted with: 32 random bytes in a file that nobody else can read.
 */
import { DiskFull, VaultUnavailable, type VaultError } from "@aegis/domain"
import { AtomicFile, Machine } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHmac, createSecretKey, type KeyObject } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

const keyBytes = 32

/** The key in `file`; none where there is no file. One that others can read, or that is no key, is refused as it is (T-114). */
export const read = (file: string): Effect.Effect<Option.Option<KeyObject>, VaultUnavailable> =>
  Effect.acquireUseRelease(
    open(file),
    (opened) => Effect.transposeMapOption(opened, (handle) => readOpen(file, handle)),
    (opened) => Effect.promise(async () => Option.getOrUndefined(opened)?.close())
  )

/** Makes a key in `file` where there is none, and succeeds with the one that is there then (T-116). */
export const make = (file: string): Effect.Effect<void, VaultError> => Effect.asVoid(fresh(file, AtomicFile.create))

/** Puts a new key into `file`, whatever is there. */
export const replace = (file: string): Effect.Effect<void, VaultError> => fresh(file, AtomicFile.write)

/** Tells one key from another, and nothing of the key. */
export const idOf = (key: KeyObject): string =>
  createHmac("sha256", key).update("aegis master key").digest("hex").slice(0, 32)

const fresh = <A>(
  file: string,
  write: (file: string, bytes: Uint8Array, mode: number) => Effect.Effect<A, AtomicFile.FileNotWritten>
) =>
  Effect.acquireUseRelease(
    Machine.randomBytes(keyBytes),
    (bytes) => Effect.mapError(write(file, bytes, 0o600), notWritten),
    (bytes) => Effect.sync(() => bytes.fill(0))
  )

/** A failed write in our words. */
export const notWritten = ({ code, message, path, remedy }: AtomicFile.FileNotWritten): VaultError =>
  code === "ENOSPC" || code === "EDQUOT"
    ? new DiskFull({ path })
    : new VaultUnavailable({ path, reason: message.replace(`${path}: `, ""), remedy })

const attempt = <A>(file: string, operation: () => Promise<A>) =>
  Effect.tryPromise({
    try: operation,
    catch: (cause) => {
      const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
      return { code: error.code ?? "", message: error.message }
    }
  }).pipe(
    Effect.mapError(({ code, message }) => ({
      code,
      refused: refusal(
        file,
        code === "ELOOP" ? "is a symbolic link" : `cannot be read: ${message}`,
        code === "ELOOP" ? "put the file itself in its place" : "check its owner and mode"
      )
    }))
  )

const open = (file: string): Effect.Effect<Option.Option<fs.FileHandle>, VaultUnavailable> =>
  attempt(file, () => fs.open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)).pipe(
    Effect.map(Option.some),
    Effect.catchAll(({ code, refused }) => (code === "ENOENT" ? Effect.succeedNone : Effect.fail(refused)))
  )

const ourUid = process.getuid?.() ?? 0

const readOpen = (file: string, handle: fs.FileHandle) =>
  Effect.gen(function* () {
    const found = yield* Effect.mapError(
      attempt(file, () => handle.stat()),
      ({ refused }) => refused
    )
    if (!found.isFile()) return yield* refusal(file, "is not a regular file", copyBack)
    if (found.uid !== ourUid) {
      return yield* refusal(file, `belongs to user ${found.uid}`, `chown it to user ${ourUid} if it is yours`)
    }
    if ((found.mode & 0o077) !== 0) {
      const mode = (found.mode & 0o777).toString(8)
      const remedy = `chmod 600 ${file}; if others may have read it, aegis secret rotate-key, and new values`
      return yield* refusal(file, `can be used by others (mode ${mode})`, remedy)
    }
    if (found.size !== keyBytes) {
      return yield* refusal(file, `has ${found.size} bytes; a key has ${keyBytes}`, copyBack)
    }
    const bytes = Buffer.alloc(keyBytes)
    const { bytesRead } = yield* Effect.mapError(
      attempt(file, () => handle.read(bytes, 0, keyBytes, 0)),
      ({ refused }) => refused
    )
    const key = createSecretKey(bytes)
    bytes.fill(0)
    return bytesRead === keyBytes ? key : yield* refusal(file, "became shorter while it was read", copyBack)
  })

const copyBack = "put a copy of the key back in its place; nothing was changed"

const refusal = (path: string, reason: string, remedy: string) => new VaultUnavailable({ path, reason, remedy })
