/**
 * The file of all secrets. It is small, read whole and replaced whole: what was deleted or overwritten is in no file any more.
 */
import { SecretName, VaultUnavailable, type VaultError } from "@aegis/domain"
import { AtomicFile } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { notWritten } from "./MasterKey.ts"

const format = 1

/** A value as it is kept: `sealed` is nonce, ciphertext and tag in base64; text, since a damaged one must not hide the others. */
export const StoredSecret = Schema.Struct({
  name: SecretName,
  version: Schema.Int.pipe(Schema.positive()),
  createdAt: Schema.Int,
  sealed: Schema.String
})
export type StoredSecret = typeof StoredSecret.Type

/** All of it: which key the values are encrypted with, and the values by name. */
export interface Contents {
  /** Empty for a vault that has never held anything. */
  readonly keyId: string
  readonly secrets: ReadonlyArray<StoredSecret>
}

const File = Schema.Struct({
  format: Schema.Int,
  keyId: Schema.String,
  secrets: Schema.Array(StoredSecret)
})
const FileOfAnyFormat = Schema.Struct({ format: Schema.Int })

const empty: Contents = { keyId: "", secrets: [] }

/** What the values of all secrets together may come to. */
export const maxFileBytes = 16 * 1024 * 1024

/** An absent file is an empty vault; one that cannot be read is refused, and kept as it is. */
export const read = (file: string): Effect.Effect<Contents, VaultUnavailable> =>
  AtomicFile.readJson(file, FileOfAnyFormat, maxFileBytes).pipe(
    Effect.filterOrFail(
      (found) => found.format === format,
      (found) =>
        new VaultUnavailable({
          path: file,
          reason: `has the format ${found.format}; this version knows ${format}`,
          remedy: "use the version of AegisVM that wrote it"
        })
    ),
    Effect.zipRight(AtomicFile.readJson(file, File, maxFileBytes)),
    Effect.catchTag("FileNotRead", ({ code }) =>
      code === "ENOENT"
        ? Effect.succeed(empty)
        : new VaultUnavailable({
            path: file,
            // The schema's own words would quote the file.
            reason: code === "" ? "is not a vault of AegisVM" : `cannot be read (${code})`,
            remedy: "put a copy of it back, or move it away to begin an empty one; it was not changed"
          })
    )
  )

/** Replaces all of it in one step. */
export const write = (file: string, contents: Contents): Effect.Effect<void, VaultError> =>
  Effect.gen(function* () {
    const document: typeof File.Encoded = { format, ...contents }
    const bytes = Buffer.from(`${JSON.stringify(document)}\n`)
    if (bytes.length > maxFileBytes) {
      return yield* new VaultUnavailable({
        path: file,
        reason: `would have ${bytes.length} bytes; at most ${maxFileBytes} are possible`,
        remedy: "delete secrets that nobody uses; aegis secret list shows what there is"
      })
    }
    yield* Effect.mapError(AtomicFile.write(file, bytes, 0o600), notWritten)
  })
