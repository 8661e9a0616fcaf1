/**
 * Files that are copied into guests and out of them: where a command may be run, they may be copied (S-151 to S-154).
 */
import {
  type EventCause,
  ExecLost,
  type FileError,
  FileNotFound,
  FilePiece,
  FileRefused,
  type FileWriting,
  NotFound,
  StateConflict,
  UploadBegun,
  Uploaded,
  type UploadEvent,
  UploadId
} from "@aegis/domain"
import type { ChannelError, Upload } from "@aegis/guest"
import { Machine } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Parts } from "./Parts.ts"
import type { Pausing } from "./Pausing.ts"

/** A guest that says nothing for so long about one piece of a file is given up. */
const answerLimit = "30 seconds"

export const make = ({ usage }: Parts, { ready }: Pausing) => {
  const uploads = new Map<UploadId, Upload>()

  /** The guest, counted as used until the scope ends. */
  const reach = (target: string, cause: EventCause) =>
    Effect.gen(function* () {
      const { life, name, vm } = yield* ready(target, cause)
      yield* usage.follow(life.id)
      return { name, files: vm.guest.files }
    })

  const archive = (target: string, path: string, cause: EventCause): Stream.Stream<Uint8Array, FileError> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const { files, name } = yield* reach(target, cause)
        const failed = failure(name, path)
        const bytes = yield* Effect.catchAll(files.archive(path), failed)
        return Stream.catchAll(bytes, (error) => Stream.fromEffect(failed(error)))
      })
    ).pipe(Stream.withSpan("Instances.archive"))

  const extract = (
    target: string,
    path: string,
    into: boolean,
    cause: EventCause
  ): Stream.Stream<UploadEvent, FileError> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const { files, name } = yield* reach(target, cause)
        const failed = failure(name, path)
        const upload = yield* Effect.catchAll(files.extract(path, into), failed)
        const id = UploadId.make(`copy-${Buffer.from(yield* Machine.randomBytes(8)).toString("hex")}`)
        yield* Effect.acquireRelease(
          Effect.sync(() => uploads.set(id, upload)),
          () => Effect.sync(() => uploads.delete(id))
        )
        const done = upload.done.pipe(
          Effect.catchAll(failed),
          Effect.map((counts) => new Uploaded(counts))
        )
        return Stream.concat(Stream.make(new UploadBegun({ id })), Stream.fromEffect(done))
      })
    ).pipe(Stream.withSpan("Instances.extract"))

  /** The next piece of an upload, or its end; one that is over takes nothing more, and its reader knows why. */
  const writeUpload = (id: UploadId, bytes: Uint8Array, end: boolean): Effect.Effect<void, NotFound> =>
    Effect.gen(function* () {
      const upload = uploads.get(id)
      if (upload === undefined) return yield* new NotFound({ target: id })
      if (bytes.length > 0) yield* upload.write(bytes)
      if (end) yield* upload.end
    })

  const answered =
    (name: string, path: string) =>
    <A>(effect: Effect.Effect<A, ChannelError>) =>
      effect.pipe(
        Effect.catchAll(failure(name, path)),
        Effect.timeoutFail({
          duration: answerLimit,
          onTimeout: () => new ExecLost({ target: name, reason: `the guest did not answer within ${answerLimit}` })
        })
      )

  const readFile = (
    target: string,
    path: string,
    offset: number,
    limit: number,
    cause: EventCause
  ): Effect.Effect<FilePiece, FileError> =>
    Effect.gen(function* () {
      const { files, name } = yield* reach(target, cause)
      const piece = yield* answered(name, path)(files.read(path, offset, limit))
      if (piece.bytes.length > limit) {
        return yield* new ExecLost({ target: name, reason: "the guest sent more than it was asked for" })
      }
      return new FilePiece(piece)
    }).pipe(Effect.scoped, Effect.withSpan("Instances.readFile"))

  const writeFile = (
    target: string,
    path: string,
    bytes: Uint8Array,
    writing: FileWriting,
    cause: EventCause
  ): Effect.Effect<void, FileError> =>
    Effect.gen(function* () {
      const { files, name } = yield* reach(target, cause)
      yield* answered(name, path)(files.write(path, bytes, writing))
    }).pipe(Effect.scoped, Effect.withSpan("Instances.writeFile"))

  return { archive, extract, writeUpload, readFile, writeFile }
}

const failure =
  (target: string, path: string) =>
  (error: ChannelError): Effect.Effect<never, FileNotFound | FileRefused | StateConflict | ExecLost> => {
    const reason = error.message
    if (error._tag !== "HarnessRefused") return new ExecLost({ target, reason })
    switch (error.code) {
      case "not-found":
        return new FileNotFound({ target, path, reason })
      case "file":
      case "bad-request":
        return new FileRefused({ target, path, reason })
      case "state":
        return new StateConflict({ target, state: "stopping", remedy: `aegis why ${target} says why` })
      default:
        return new ExecLost({ target, reason })
    }
  }
