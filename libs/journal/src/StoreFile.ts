/**
 * The database's file before SQLite sees it: whose it is, whether it is ours, and how it comes into being whole.
 */
import { SchemaTooNew, StoreCorrupt, type StoreError, StoreUnavailable } from "@aegis/domain"
import { AtomicFile, Directories } from "@aegis/host"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { applicationId } from "./Migrations.ts"
import { codeOf, storeError } from "./StoreFailure.ts"

const attempt = <A>(file: string, operation: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.catchAll(Effect.tryPromise({ try: operation, catch: (cause) => cause }), (cause) => storeError(file, cause))

/** Makes the directory, for this user alone, and removes what a creation that was killed has left in it. */
export const prepareDirectory = (file: string): Effect.Effect<void, StoreError> =>
  Directories.ensurePrivate(path.dirname(file)).pipe(
    Effect.mapError(({ message, remedy }) => new StoreUnavailable({ path: file, reason: message, remedy })),
    Effect.zipRight(attempt(file, () => removeAbandoned(file)))
  )

const abandonedName = (file: string) => `${path.basename(file)}.new-`

const removeAbandoned = async (file: string) => {
  const directory = path.dirname(file)
  for (const name of await fs.readdir(directory)) {
    if (!name.startsWith(abandonedName(file))) continue
    const pid = Number.parseInt(name.slice(abandonedName(file).length), 10)
    if (!isAlive(pid)) await fs.rm(path.join(directory, name), { force: true })
  }
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** Whether there is one. A log without its database is none that may be begun anew: what is in the log would be lost (T-276). */
export const exists = (file: string): Effect.Effect<boolean, StoreError> =>
  Effect.gen(function* () {
    if (yield* attempt(file, () => isThere(file))) return true
    if (!(yield* attempt(file, () => isThere(`${file}-wal`)))) return false
    return yield* new StoreCorrupt({ path: file, reason: "is gone, and its write-ahead log is still there" })
  })

const isThere = (file: string) =>
  fs.lstat(file).then(
    () => true,
    (cause: unknown) => {
      if (codeOf(cause) === "ENOENT") return false
      throw cause
    }
  )

/** Has `fill` make it under another name; it appears when it is complete and synced. One that has appeared meanwhile stays. */
export const createWhole = <E>(
  file: string,
  fill: (temporary: string) => Effect.Effect<void, E>
): Effect.Effect<void, E | StoreError> =>
  Effect.gen(function* () {
    const temporary = path.join(
      path.dirname(file),
      `${abandonedName(file)}${process.pid}-${randomBytes(4).toString("hex")}`
    )
    yield* Effect.gen(function* () {
      // SQLite gives what it makes beside it the same mode.
      yield* attempt(file, async () => (await fs.open(temporary, "wx", 0o600)).close())
      yield* fill(temporary)
      yield* attempt(file, () => publish(temporary, file))
    }).pipe(
      Effect.ensuring(
        Effect.promise(() =>
          Promise.allSettled(
            ["", "-journal", "-wal", "-shm"].map((ending) => fs.rm(temporary + ending, { force: true }))
          )
        )
      )
    )
  })

const publish = async (temporary: string, file: string) => {
  const handle = await fs.open(temporary, "r+")
  try {
    await handle.chmod(0o600)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await fs.link(temporary, file)
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause
  }
  await AtomicFile.syncDirectory(path.dirname(file))
}

/** Refuses a file that is not ours alone (T-E12), is no database of ours, or is one of a newer version, without changing a byte of it. */
export const check = (file: string, known: number): Effect.Effect<void, StoreError | SchemaTooNew> =>
  Effect.gen(function* () {
    for (const part of [`${file}-shm`, `${file}-wal`]) {
      if (yield* attempt(file, () => isThere(part))) yield* checkOwner(part)
    }
    yield* checkOwner(file)
    const header = yield* attempt(file, () => readStart(file, headerBytes))
    if (header.length < headerBytes || header.toString("latin1", 0, 16) !== "SQLite format 3\0") {
      return yield* new StoreCorrupt({
        path: file,
        reason: header.length === 0 ? "is empty" : "is not an SQLite database"
      })
    }
    if (header.readUInt32BE(68) !== applicationId) {
      return yield* new StoreCorrupt({ path: file, reason: "is not a journal of AegisVM" })
    }
    yield* checkVersion(file, header.readUInt32BE(60), known)
    yield* checkLog(file)
  })

/** Fails for a schema of a newer version (T-250). */
export const checkVersion = (file: string, found: number, known: number): Effect.Effect<void, SchemaTooNew> =>
  found > known ? new SchemaTooNew({ path: file, found, known }) : Effect.void

/** See https://sqlite.org/fileformat2.html: 60 is the user version, 68 the application's id. */
const headerBytes = 100

const readStart = async (file: string, length: number) => {
  const handle = await fs.open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** SQLite takes a log with a wrong head for an empty one, and would forget what it holds. */
const checkLog = (file: string): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const log = `${file}-wal`
    if (!(yield* attempt(file, () => isThere(log)))) return
    const header = yield* attempt(file, () => readStart(log, 32))
    // Shorter, or zeros: the machine stopped before its first page was written.
    if (header.length < 32 || header.every((byte) => byte === 0)) return
    if ((header.readUInt32BE(0) & 0xfffffffe) >>> 0 === 0x377f0682) return
    return yield* new StoreCorrupt({ path: file, reason: "its write-ahead log is damaged" })
  })

const ourUid = process.getuid?.() ?? 0

const checkOwner = (file: string): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const found = yield* attempt(file, () => fs.lstat(file))
    const refused = (reason: string, remedy: string) => new StoreUnavailable({ path: file, reason, remedy })
    if (!found.isFile()) {
      const reason = found.isSymbolicLink() ? "is a symbolic link" : "is not a regular file"
      return yield* refused(reason, "put the file itself in its place")
    }
    if (found.uid !== ourUid) return yield* refused(`belongs to user ${found.uid}`, `chown it to user ${ourUid}`)
    if ((found.mode & 0o022) !== 0) {
      return yield* refused(
        "can be written by others",
        `check with aegis audit verify that nobody did; then chmod 600 ${file}`
      )
    }
    if ((found.mode & 0o777) !== 0o600) yield* attempt(file, () => fs.chmod(file, 0o600))
  })

/** Copies it to `<file>.schema-<version>` before it is migrated. */
export const backup = (
  file: string,
  version: number,
  copy: (destination: string) => Effect.Effect<unknown, SqlError>
): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    const destination = `${file}.schema-${version}`
    yield* attempt(file, () => fs.rm(destination, { force: true }))
    yield* Effect.catchAll(copy(destination), (cause) => storeError(file, cause))
    yield* attempt(file, () => fs.chmod(destination, 0o600))
  })
