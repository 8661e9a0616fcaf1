/**
 * A copy from its begin to its end, in either direction.
 */
import { Aegis } from "@aegis/client"
import type { DaemonUnreachable, FileError, UploadEvent, UploadId } from "@aegis/domain"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { CopyFailed, type InputFailed } from "../Errors.ts"
import { progressLine } from "../ProgressLine.ts"
import { type OutputError, Stdio } from "../Stdio.ts"
import { pack } from "./Pack.ts"
import { ArchiveRefused, type Destination, unpack } from "./Unpack.ts"

/** A path inside an instance. */
export interface GuestPlace {
  readonly target: string
  readonly path: string
}

export interface Copied {
  readonly files: number
  readonly bytes: number
  /** What was not copied: what leads out of the copy, or is neither file, directory nor symlink. */
  readonly leftOut: ReadonlyArray<string>
}

type Failure = FileError | DaemonUnreachable | CopyFailed | InputFailed | OutputError

/** `from` is a path of this machine, or `-` for an archive on standard input. */
export const copyIn = (from: string, to: GuestPlace): Effect.Effect<Copied, Failure, Aegis | Stdio> =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const scope = yield* Effect.scope
    const progress = yield* showProgress
    const archive: Stream.Stream<Uint8Array, CopyFailed | InputFailed> =
      from === "-" ? stdio.input : yield* packed(from)
    const failed = yield* Deferred.make<never, DaemonUnreachable | CopyFailed | InputFailed>()
    let copied = Option.none<Copied>()
    const feed = (id: UploadId) =>
      Stream.runForEach(archive, (bytes) => {
        progress.add(bytes.length)
        return aegis.writeUpload(id, bytes, false)
      }).pipe(
        Effect.zipRight(aegis.writeUpload(id, new Uint8Array(), true)),
        // One that is over already: its events say why.
        Effect.catchTag("NotFound", () => Effect.void),
        Effect.catchAll((error) => Deferred.fail(failed, error))
      )
    const onEvent = (event: UploadEvent) => {
      if (event._tag === "UploadBegun") return Effect.asVoid(Effect.forkIn(feed(event.id), scope))
      copied = Option.some({ files: event.files, bytes: event.bytes, leftOut: [] })
      return Effect.void
    }
    const following = Stream.runForEach(aegis.fileUpload(to.target, to.path, from === "-"), onEvent)
    yield* Effect.raceFirst(following, Deferred.await(failed))
    return yield* Option.match(copied, { onNone: () => cutShort, onSome: Effect.succeed })
  }).pipe(Effect.scoped)

/** `to` is a path of this machine, or `-` for standard output. */
export const copyOut = (from: GuestPlace, to: string): Effect.Effect<Copied, Failure, Aegis | Stdio> =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    if (to === "-") {
      yield* Stream.runForEach(aegis.fileArchive(from.target, from.path), (bytes) => stdio.write("stdout", bytes))
      return { files: 0, bytes: 0, leftOut: [] }
    }
    const destination = yield* destinationOf(from.path, to)
    const progress = yield* showProgress
    let failed = Option.none<FileError | DaemonUnreachable>()
    const archive = aegis.fileArchive(from.target, from.path).pipe(
      Stream.tap((bytes) => Effect.sync(() => progress.add(bytes.length))),
      Stream.tapError((error) =>
        Effect.sync(() => {
          failed = Option.some(error)
        })
      )
    )
    const pieces = yield* Stream.toAsyncIterableEffect(archive)
    return yield* Effect.catchAll(
      attempt(to, () => unpack(pieces, destination)),
      (error): Effect.Effect<never, Failure> => Effect.fail(Option.getOrElse(failed, () => error))
    )
  }).pipe(Effect.scoped)

/** Into a directory that is there a copy goes under its own name. */
const destinationOf = (from: string, to: string): Effect.Effect<Destination, CopyFailed> =>
  Effect.gen(function* () {
    const name = path.posix.basename(path.posix.normalize(from))
    if (name === "") {
      return yield* new CopyFailed({ message: "/ has no name here", remedy: "aegis cp HANDLE_OR_ID:/ - | tar x" })
    }
    const full = path.resolve(to)
    const isDirectory = yield* Effect.promise(() =>
      fs.stat(full).then(
        (found) => found.isDirectory(),
        () => false
      )
    )
    if (isDirectory) return { directory: full, name }
    if (to.endsWith("/")) {
      return yield* new CopyFailed({ message: `${to} is no directory`, remedy: `mkdir -p ${to}` })
    }
    return { directory: path.dirname(full), name: path.basename(full) }
  })

const packed = (from: string): Effect.Effect<Stream.Stream<Uint8Array, CopyFailed>, CopyFailed> =>
  Effect.map(
    attempt(from, () => pack(from)),
    (archive) => NodeStream.fromReadable<CopyFailed, Uint8Array>(() => archive, failureAt(from))
  )

const attempt = <A>(what: string, call: () => Promise<A>): Effect.Effect<A, CopyFailed> =>
  Effect.tryPromise({ try: call, catch: failureAt(what) })

const failureAt = (what: string) => (cause: unknown) => {
  if (cause instanceof ArchiveRefused) {
    return new CopyFailed({
      message: `the guest's answer is refused: ${cause.message}`,
      remedy: "do not trust that guest"
    })
  }
  // Behind the comma the kernel's words name our way to the file, which is none of the user's.
  const reason = cause instanceof Error ? (cause.message.split(", ")[0] ?? "") : String(cause)
  return new CopyFailed({ message: `cannot copy ${what}: ${reason}`, remedy: "look at that path and its permissions" })
}

const cutShort = new CopyFailed({
  message: "the daemon stopped telling about the copy",
  remedy: "aegis status shows whether it runs"
})

/** On a terminal: how much has gone over, now and then, until the scope ends. */
const showProgress = Effect.gen(function* () {
  const stdio = yield* Stdio
  let bytes = 0
  const add = (more: number) => {
    bytes += more
  }
  if (stdio.isTerminal) {
    const line = yield* progressLine
    yield* Effect.addFinalizer(() => line.clear)
    const show = Effect.suspend(() =>
      line.show({ phase: "Copying", text: `Copying... ${(bytes / 1024 / 1024).toFixed(1)} MiB` })
    )
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep("300 millis"), show)))
  }
  return { add }
})
