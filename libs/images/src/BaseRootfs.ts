/**
 * The base root file system: what an instance boots from when no image is named (contract D-11).
 */
import {
  DiskFull,
  parseImageSource,
  type PullProgress,
  RootfsProgress,
  RootfsRecord,
  RootfsSubstituted,
  RootfsUnavailable,
  type RootfsVariant,
  rootfsVariants
} from "@aegis/domain"
import { AegisPaths, AtomicFile, Directories, Lock } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { assembleDebianPython } from "./DebianPython.ts"
import { sha256OfFile } from "./FileDigest.ts"
import { ImageStore } from "./store/ImageStore.ts"

export interface RootDisk {
  readonly path: string
  readonly record: RootfsRecord
}

export type ReportRootfs = (step: RootfsProgress | RootfsSubstituted) => void

/** A variant that its source does not have or that cannot be reached, or no room for it. */
export type RootfsError = RootfsUnavailable | DiskFull

const Record = Schema.parseJson(RootfsRecord)

export class BaseRootfs extends Context.Tag("@aegis/images/BaseRootfs")<
  BaseRootfs,
  {
    /** The active variant's disk. */
    readonly current: Effect.Effect<RootDisk, RootfsUnavailable>
    /**
     * The active variant's disk. Where there is none the default is made first (S-036, S-038); when that cannot be had from its
     * registry, the variant that this host assembles itself, which is reported. A second caller, also in another process, waits for
     * the first. Interruption leaves nothing half made.
     */
    readonly ensure: (report: ReportRootfs) => Effect.Effect<RootDisk, RootfsError>
    /** Makes this variant anew and the active one, in one step: what fails leaves the old one (S-193, S-195). */
    readonly pull: (variant: RootfsVariant, report: ReportRootfs) => Effect.Effect<RootDisk, RootfsError>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const paths = yield* AegisPaths
  const store = yield* ImageStore
  const recordFile = `${paths.baseRootfs}/rootfs.json`
  const disk = `${paths.baseRootfs}/rootfs.ext4`
  const half = `${disk}.new`

  const current = AtomicFile.readJson(recordFile, RootfsRecord).pipe(
    Effect.tap(() => Effect.tryPromise(() => fs.access(disk))),
    Effect.map((record): RootDisk => ({ path: disk, record })),
    Effect.mapError(
      () =>
        new RootfsUnavailable({
          variant: "base",
          reason: `there is none in ${paths.baseRootfs}`,
          remedy: "aegis rootfs pull makes one; so does aegis up after aegis down"
        })
    )
  )

  const unavailable =
    (variant: RootfsVariant) =>
    (error: { readonly message: string; readonly remedy?: string }): RootfsError =>
      error instanceof DiskFull || error instanceof RootfsUnavailable
        ? error
        : new RootfsUnavailable({
            variant,
            reason: error.message,
            remedy: error.remedy ?? `check that ${paths.baseRootfs} is yours and writable`
          })

  const fromImage = (image: string, report: ReportRootfs) =>
    Effect.gen(function* () {
      const source = yield* parseImageSource(image)
      const pulled = yield* store.pull(source, { refresh: true, report: (step) => reportPull(step, report) })
      // The file system shares the bytes where it can; the image's own disk stays as it is.
      yield* file(() => fs.copyFile(pulled.path, half, constants.COPYFILE_FICLONE))
      return { source: pulled.reference, digest: String(pulled.digest) }
    })

  const fromPackages = (report: ReportRootfs) =>
    Effect.gen(function* () {
      const source = yield* assembleDebianPython({
        product: paths.product,
        disk: half,
        report: (step) => report(new RootfsProgress(step))
      })
      return { source, digest: yield* file(() => sha256OfFile(half)) }
    })

  // The disk stands in its place before its record does: where there is a record, there is a whole disk.
  const produce = (variant: RootfsVariant, report: ReportRootfs): Effect.Effect<RootDisk, RootfsError> =>
    Effect.gen(function* () {
      const begun = yield* Clock.currentTimeMillis
      const image = rootfsVariants.find(({ name }) => name === variant)?.image
      const { digest, source } = yield* image === undefined ? fromPackages(report) : fromImage(image, report)
      const bytes = yield* file(async () => {
        const { size } = await fs.stat(half)
        await fs.rename(half, disk)
        return size
      })
      const record = new RootfsRecord({ variant, source, digest, bytes, createdAt: yield* DateTime.now })
      const text = yield* Effect.orDie(Schema.encode(Record)(record))
      yield* AtomicFile.write(recordFile, Buffer.from(text), 0o600)
      const seconds = Math.round(((yield* Clock.currentTimeMillis) - begun) / 1000)
      const detail = `${Math.round(bytes / 1e6)} MB in ${seconds} s`
      report(new RootfsProgress({ phase: "done", fraction: 1, detail }))
      return { path: disk, record }
    }).pipe(Effect.ensuring(Effect.promise(() => fs.rm(half, { force: true }))), Effect.mapError(unavailable(variant)))

  const preferred = (report: ReportRootfs) =>
    Effect.catchTag(produce("python", report), "RootfsUnavailable", ({ reason }) => {
      report(new RootfsSubstituted({ wanted: "python", made: "debian-python", because: reason }))
      return produce("debian-python", report)
    })

  const exclusively = <A>(variant: RootfsVariant, work: Effect.Effect<A, RootfsError>) =>
    Effect.gen(function* () {
      yield* Directories.ensurePrivate(paths.baseRootfs)
      yield* Lock.acquire(`${paths.baseRootfs}/.lock`, true)
      return yield* work
    }).pipe(Effect.scoped, Effect.mapError(unavailable(variant)))

  return BaseRootfs.of({
    current,
    ensure: (report) =>
      exclusively(
        "python",
        Effect.orElse(current, () => preferred(report))
      ).pipe(Effect.withSpan("BaseRootfs.ensure")),
    pull: (variant, report) =>
      exclusively(variant, produce(variant, report)).pipe(
        Effect.withSpan("BaseRootfs.pull", { attributes: { variant } })
      )
  })
})

/** A pull's step as one of making a root file system. */
const reportPull = (step: PullProgress, report: ReportRootfs) => {
  switch (step._tag) {
    case "Resolving":
      return report(new RootfsProgress({ phase: "resolving", detail: step.name }))
    case "Downloading": {
      const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
      const detail = `${step.digest.slice(7, 19)}: ${megabytes(step.bytes)} of ${megabytes(step.total)} MB`
      const fraction = step.total === 0 ? 1 : step.bytes / step.total
      return report(new RootfsProgress({ phase: "downloading", fraction, detail }))
    }
    case "BuildingDisk":
      return report(new RootfsProgress({ phase: "disk", fraction: step.fraction }))
    case "Pulled":
      return
  }
}

const file = <A>(work: () => Promise<A>) =>
  Effect.tryPromise({
    try: work,
    catch: (cause) => {
      const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
      return error.code === "ENOSPC" ? new DiskFull({ path: "~/.aegis/base-rootfs" }) : { message: error.message }
    }
  })
