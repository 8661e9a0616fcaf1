/**
 * Root disks made by aegis-mkroot, a program of its own: the bytes of an image never pass through this process.
 */
import { DigestMismatch, DiskFull, ImageInvalid, ImageStoreFailed, ImageTooLarge } from "@aegis/domain"
import { AegisPaths, Process } from "@aegis/host"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import { createInterface } from "node:readline"
import { MkrootFailure, MkrootProgress, MkrootResult } from "./MkrootLines.ts"
import { type BuildOptions, DiskBuilder, type LayerFile } from "./store/DiskBuilder.ts"

export type MkrootError = ImageInvalid | DigestMismatch | ImageTooLarge | DiskFull | ImageStoreFailed

export interface MkrootOptions extends BuildOptions {
  /** The product's folder, which holds aegis-mkroot. */
  readonly product: string
}

/**
 * Merges layers, the bottom one first, into the disk. Each blob is read once, and is what its digest and its diff_id say before
 * the disk gets its name. Interruption ends the program and leaves nothing.
 */
export const mergeLayers = (
  options: MkrootOptions & { readonly layers: ReadonlyArray<LayerFile> }
): Effect.Effect<MkrootResult, MkrootError> =>
  Effect.gen(function* () {
    const request = {
      layers: options.layers.map(({ compression, diffId, digest, path }) => ({ path, compression, digest, diffId }))
    }
    const files = options.layers.map(({ path }) => path)
    return yield* make(options, { args: ["merge", options.disk], request, files, what: "layer" })
  }).pipe(Effect.withSpan("Mkroot.mergeLayers", { attributes: { reference: options.reference } }))

/** Makes the disk of an archive, plain or compressed with gzip or zstd, whose entries are taken as they are: whiteouts are names. */
export const fromTar = (options: MkrootOptions & { readonly tar: string }): Effect.Effect<MkrootResult, MkrootError> =>
  make(options, {
    args: ["--input", options.tar, options.disk],
    request: {},
    files: [options.tar],
    what: "archive"
  }).pipe(Effect.withSpan("Mkroot.fromTar", { attributes: { reference: options.reference } }))

/** The service that the store builds its disks with. */
export const layerDiskBuilder: Layer.Layer<DiskBuilder, never, AegisPaths> = Layer.effect(
  DiskBuilder,
  Effect.map(AegisPaths, ({ product }) =>
    DiskBuilder.of({
      merge: (options) => Effect.asVoid(mergeLayers({ ...options, product })),
      fromTar: (options) => Effect.asVoid(fromTar({ ...options, product }))
    })
  )
)

interface Work {
  readonly args: ReadonlyArray<string>
  /** What goes to standard input. */
  readonly request: unknown
  /** What is read, for a fraction of it. */
  readonly files: ReadonlyArray<string>
  readonly what: "layer" | "archive"
}

const make = (options: MkrootOptions, work: Work): Effect.Effect<MkrootResult, MkrootError> =>
  Effect.gen(function* () {
    const unusable = (reason: string) => new ImageStoreFailed({ path: options.disk, reason })
    const total = yield* totalSize(work.files)
    // A program that is killed, because it did not end in its grace, leaves what it has written. Removed when it is gone.
    const left: Array<string> = []
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all(left.map((half) => fs.rm(half, { force: true }))))
    )
    const program = yield* Process.spawn({
      command: `${options.product}/aegis-mkroot`,
      args: work.args,
      stdin: "pipe",
      stdout: "tail",
      stderr: "pipe",
      grace: "2 seconds"
    }).pipe(Effect.mapError(({ message }) => unusable(message)))
    left.push(`${options.disk}.tmp-${program.pid}`)
    const lastLine = followLines(program, ({ progress }) => options.report(Math.min(1, progress.bytesIn / total)))
    Option.map(program.stdin, (sink) => sink.end(JSON.stringify(work.request)))
    const ended = yield* program.exit
    if (ended.code !== 0) {
      const line = yield* lastLine
      return yield* Option.match(decodeFailure(line), {
        onSome: (failure) => explain(failure, options, work.what),
        onNone: () => unusable(`aegis-mkroot ended with ${ended.signal ?? `exit code ${ended.code}`}: ${line}`)
      })
    }
    const made = decodeResult((yield* program.stdoutTail).trim())
    if (Option.isNone(made)) return yield* unusable("aegis-mkroot did not say what it has made")
    options.report(1)
    return made.value
  }).pipe(Effect.scoped)

const decodeFailure = Schema.decodeOption(MkrootFailure)
const decodeProgress = Schema.decodeOption(MkrootProgress)
const decodeResult = Schema.decodeOption(MkrootResult)

/** Gives each progress line to `report`; the result is the last line, when there are no more. */
const followLines = (program: Process.Process, report: (line: Schema.Schema.Type<typeof MkrootProgress>) => void) => {
  const ended = Deferred.unsafeMake<string>(FiberId.none)
  let last = ""
  Option.map(program.stderr, (input) =>
    createInterface({ input })
      .on("line", (line) => {
        last = line
        Option.map(decodeProgress(line), report)
      })
      .on("close", () => Deferred.unsafeDone(ended, Effect.succeed(last)))
  )
  return Deferred.await(ended)
}

const totalSize = (files: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(files, (file) =>
      // What cannot be read is aegis-mkroot's to say.
      Effect.orElseSucceed(
        Effect.tryPromise(async () => (await fs.stat(file)).size),
        () => 0
      )
    ),
    (sizes) =>
      Math.max(
        1,
        sizes.reduce((sum, size) => sum + size, 0)
      )
  )

/** The failure as one of ours. An image's author chooses the names in it: they are quoted. */
const explain = (
  failure: MkrootFailure,
  { disk, reference }: MkrootOptions,
  what: "layer" | "archive"
): MkrootError => {
  const where = failure.layer === "" ? what : `${what} ${failure.layer}`
  const place = failure.entry === "" ? where : `${where}: entry ${JSON.stringify(failure.entry.slice(0, 300))}`
  switch (failure.code) {
    case "bad-compression":
    case "bad-tar":
    case "bad-path":
    case "bad-entry":
      return new ImageInvalid({ reference, what, reason: `${place}: ${failure.message}` })
    case "diff-mismatch":
      return new DigestMismatch({
        reference,
        what: `${failure.what} (${where})`,
        expected: failure.expected,
        actual: failure.actual
      })
    case "too-large":
      return new ImageTooLarge({ reference, what: `${place}: ${failure.what}`, limit: failure.limit })
    case "no-space":
      return new DiskFull({ path: disk })
    default:
      return new ImageStoreFailed({ path: disk, reason: `aegis-mkroot failed: ${failure.message}` })
  }
}
