/**
 * A blob while it arrives: `blobs/sha256/<hex>.part`. It outlives a broken connection and a killed process; what is in it is hashed
 * again, never trusted.
 */
import { DigestMismatch } from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash, type Hash } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { attempt, type StoreError, writeAll } from "./StoreFile.ts"

/** What a download writes into. */
export interface Part {
  /** How many bytes are there: where a download goes on. */
  readonly offset: () => number
  /**
   * Takes bytes from `startsAt` on, which is at most `offset()`: what lies behind it is thrown away first (T-98). Fails as soon
   * as there are more bytes than the blob may have (T-100). A piece is written before the next is asked for.
   */
  readonly append: <E, R>(
    startsAt: number,
    bytes: Stream.Stream<Uint8Array, E, R>
  ) => Effect.Effect<void, E | DigestMismatch | StoreError, R>
}

export interface PartFile extends Part {
  /** Checks size and digest and gives the blob its name; visible from then on, also after a crash. */
  readonly commit: Effect.Effect<void, DigestMismatch | StoreError>
  readonly remove: Effect.Effect<void>
}

export interface PartOptions {
  /** The blob's final name. */
  readonly file: string
  readonly digest: string
  readonly size: number
  /** Whose blob it is, for a message. */
  readonly reference: string
  readonly report: (bytes: number) => void
}

/** How often the bytes that are there are told: each time costs whoever follows the pull more than a piece's hash. */
const reportMillis = 100

/** Opens what has arrived so far, or an empty part. The scope's end closes it and leaves it in its place. */
export const open = (options: PartOptions): Effect.Effect<PartFile, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const half = `${options.file}.part`
    const handle = yield* Effect.acquireRelease(
      attempt(half, () => fs.open(half, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)),
      (opened) => Effect.promise(() => opened.close())
    )
    let hash = createHash("sha256")
    let offset = 0

    /** Cuts the file to `length` and hashes what stays. */
    const rewind = (length: number) =>
      attempt(half, async () => {
        await handle.truncate(length)
        hash = await hashOf(handle, length)
        offset = length
      })

    // Never left before everything is written: `offset` and the hash are true to the file then.
    const take = (piece: Uint8Array): Effect.Effect<void, DigestMismatch | StoreError> =>
      offset + piece.byteLength > options.size
        ? mismatch(options, "size", `${options.size}`, "more")
        : attempt(half, async () => {
            const written = writeAll(handle, [piece], offset)
            // Another thread writes meanwhile.
            hash.update(piece)
            await written
            offset += piece.byteLength
          }).pipe(Effect.uninterruptible)

    const append: Part["append"] = (startsAt, bytes) =>
      Effect.gen(function* () {
        if (startsAt > offset) return yield* Effect.dieMessage(`bytes from ${startsAt} do not follow ${offset}`)
        if (startsAt < offset) yield* rewind(startsAt)
        options.report(offset)
        let told = Number.NEGATIVE_INFINITY
        const tell = Effect.map(Clock.currentTimeMillis, (now) => {
          if (now - told < reportMillis && offset < options.size) return
          told = now
          options.report(offset)
        })
        yield* Stream.runForEach(bytes, (piece) => Effect.zipRight(take(piece), tell))
      })

    const remove = Effect.promise(() => fs.rm(half, { force: true }))

    const check = Effect.suspend(() => {
      if (offset !== options.size) return mismatch(options, "size", `${options.size}`, `${offset}`)
      const actual = `sha256:${hash.copy().digest("hex")}`
      return actual === options.digest ? Effect.void : mismatch(options, "content", options.digest, actual)
    })

    const settle = attempt(half, async () => {
      await handle.sync()
      await fs.rename(half, options.file)
      await AtomicFile.syncDirectory(path.dirname(options.file))
    })

    const found = yield* attempt(half, () => handle.stat())
    yield* rewind(found.size > options.size ? 0 : found.size)
    return { offset: () => offset, append, remove, commit: Effect.uninterruptible(Effect.zipRight(check, settle)) }
  })

const mismatch = ({ digest, reference }: PartOptions, what: string, expected: string, actual: string) =>
  new DigestMismatch({ reference, what: `${what} of blob ${digest}`, expected, actual })

const hashOf = async (handle: fs.FileHandle, length: number): Promise<Hash> => {
  const hash = createHash("sha256")
  const buffer = Buffer.allocUnsafe(1024 * 1024)
  for (let position = 0; position < length;) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - position), position)
    if (bytesRead === 0) throw new Error("it became shorter while it was read")
    hash.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
  return hash
}
