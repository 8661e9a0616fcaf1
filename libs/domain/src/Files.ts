/**
 * Files that go into a guest and come out of it.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { NotFound } from "./Errors.ts"
import { ExecLost } from "./Exec.ts"
import { StartError } from "./StartError.ts"

/** A path inside a guest: absolute, at most 4096 bytes. */
export const GuestFilePath = Schema.String.pipe(
  Schema.filter((path) =>
    path.startsWith("/") && !path.includes("\0") && new TextEncoder().encode(path).length <= 4096
      ? undefined
      : "a path in a guest begins with /, has at most 4096 bytes, and no NUL"
  )
)

/** What one call reads or writes of a file, in bytes. */
export const filePieceLimit = 512 * 1024

/** An upload's id, for the pieces that belong to it: `copy-` and 16 hexadecimal digits. */
export const UploadId = Schema.String.pipe(Schema.pattern(/^copy-[0-9a-f]{16}$/), Schema.brand("@aegis/UploadId"))
export type UploadId = typeof UploadId.Type

/** The guest waits for the archive's bytes. */
export class UploadBegun extends Schema.TaggedClass<UploadBegun>()("UploadBegun", { id: UploadId }) {}
/** All of it is unpacked: so many files and links, so many bytes of files. */
export class Uploaded extends Schema.TaggedClass<Uploaded>()("Uploaded", {
  files: Schema.NonNegativeInt,
  bytes: Schema.NonNegativeInt
}) {}
export const UploadEvent = Schema.Union(UploadBegun, Uploaded)
export type UploadEvent = typeof UploadEvent.Type

/** How a file is written. */
export const FileWriting = Schema.Struct({
  /** In the place of what it holds, behind it, or only where there is none. */
  how: Schema.Literal("replace", "append", "create"),
  /** Its permissions from now on; absent: those that it has, and 0644 for a new one. */
  mode: Schema.optional(Schema.Int.pipe(Schema.between(0, 0o777)))
})
export type FileWriting = typeof FileWriting.Type

/** A piece of a file, and the size of the whole. The kernel's own files, such as those of /proc, have the size 0. */
export class FilePiece extends Schema.Class<FilePiece>("FilePiece")({
  size: Schema.NonNegativeInt,
  bytes: Schema.Uint8ArrayFromSelf
}) {}

/** There is no such file in the guest. */
export class FileNotFound extends Schema.TaggedError<FileNotFound>()(
  "FileNotFound",
  { target: Schema.String, path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `instance "${this.target}": ${this.reason}`
  }
  get remedy() {
    return `look at what is there: aegis exec ${this.target} -- ls -la /workspace`
  }
}

/** The guest's kernel, or its harness, refuses it. */
export class FileRefused extends Schema.TaggedError<FileRefused>()(
  "FileRefused",
  { target: Schema.String, path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 422 })
) {
  override get message() {
    return `instance "${this.target}": ${this.reason}`
  }
  get remedy() {
    return "choose another path, such as one below /workspace or /tmp"
  }
}

/** Everything that reading and writing a guest's files can fail with. */
export const FileError = Schema.Union(NotFound, FileNotFound, FileRefused, ExecLost, ...StartError.members)
export type FileError = typeof FileError.Type
