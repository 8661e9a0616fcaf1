/**
 * The daemon's calls for files of guests.
 */
import {
  FileError,
  FilePiece,
  filePieceLimit,
  FileWriting,
  GuestFilePath,
  InstanceTarget,
  NotFound,
  UploadEvent,
  UploadId
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const target = { target: InstanceTarget }

export class FileRpcs extends RpcGroup.make(
  /** What is at a path of a guest, as a tar archive. Nobody has checked it: who unpacks it must. */
  Rpc.make("FileArchive", {
    payload: { ...target, path: GuestFilePath },
    success: Schema.Uint8ArrayFromSelf,
    error: FileError,
    stream: true
  }),
  /**
   * Unpacks a tar archive at a path of a guest, or below it, where `into` demands that it is a directory. Its bytes come by
   * `FileUploadWrite`, one call after the other. Whoever stops reading breaks off.
   */
  Rpc.make("FileUpload", {
    payload: { ...target, path: GuestFilePath, into: Schema.Boolean },
    success: UploadEvent,
    error: FileError,
    stream: true
  }),
  Rpc.make("FileUploadWrite", {
    payload: { id: UploadId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: NotFound
  }),
  /** At most `limit` bytes of a file from `offset` on. */
  Rpc.make("FileRead", {
    payload: {
      ...target,
      path: GuestFilePath,
      offset: Schema.NonNegativeInt,
      limit: Schema.Int.pipe(Schema.between(0, filePieceLimit))
    },
    success: FilePiece,
    error: FileError
  }),
  /** Writes a file, and makes it and its directories where they are not there. */
  Rpc.make("FileWrite", {
    payload: {
      ...target,
      path: GuestFilePath,
      bytes: Schema.Uint8ArrayFromSelf.pipe(
        Schema.filter((bytes) => bytes.length <= filePieceLimit || `at most ${filePieceLimit} bytes`)
      ),
      writing: FileWriting
    },
    error: FileError
  })
) {}
