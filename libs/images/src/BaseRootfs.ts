/**
 * The base root file system: what an instance boots from when no image is named (contract D-11).
 */
import { RootfsUnavailable } from "@aegis/domain"
import { AegisPaths, AtomicFile, Directories, Lock } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import { assembleDebianPython, type Report } from "./DebianPython.ts"
import { sha256OfFile } from "./FileDigest.ts"

export const RootfsVariant = Schema.Literal("debian-python")
export type RootfsVariant = typeof RootfsVariant.Type

/** `rootfs.json`, beside the disk it describes. */
export class RootfsRecord extends Schema.Class<RootfsRecord>("RootfsRecord")({
  variant: RootfsVariant,
  /** Where it came from: a reference, or the archive it was assembled from. */
  source: Schema.String,
  /** sha256 of the disk image. */
  digest: Schema.String,
  bytes: Schema.Int,
  createdAt: Schema.DateTimeUtc
}) {}

export interface RootDisk {
  readonly path: string
  readonly record: RootfsRecord
}

const Record = Schema.parseJson(RootfsRecord)

export class BaseRootfs extends Context.Tag("@aegis/images/BaseRootfs")<
  BaseRootfs,
  {
    /** The active variant's disk. */
    readonly current: Effect.Effect<RootDisk, RootfsUnavailable>
    /**
     * The active variant's disk; made first where there is none (S-036, S-038). A second caller, also in another process,
     * waits for the first. Interruption leaves nothing half made.
     */
    readonly ensure: (variant: RootfsVariant, report: Report) => Effect.Effect<RootDisk, RootfsUnavailable>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const paths = yield* AegisPaths
  const recordFile = `${paths.baseRootfs}/rootfs.json`
  const disk = `${paths.baseRootfs}/rootfs.ext4`

  const current = AtomicFile.readJson(recordFile, RootfsRecord).pipe(
    Effect.tap(() => Effect.tryPromise(() => fs.access(disk))),
    Effect.map((record): RootDisk => ({ path: disk, record })),
    Effect.mapError(
      () =>
        new RootfsUnavailable({
          variant: "debian-python",
          reason: `there is none in ${paths.baseRootfs}`,
          remedy: "aegis down && aegis up makes it"
        })
    )
  )

  const unavailable = (error: { readonly message: string; readonly remedy?: string }) =>
    new RootfsUnavailable({
      variant: "debian-python",
      reason: error.message,
      remedy: error.remedy ?? `check that ${paths.baseRootfs} is yours and writable`
    })

  // The disk stands in its place before its record does: where there is a record, there is a whole disk.
  const assemble = (variant: RootfsVariant, report: Report) =>
    Effect.gen(function* () {
      const begun = yield* Clock.currentTimeMillis
      const half = `${disk}.new`
      const source = yield* assembleDebianPython({ product: paths.product, disk: half, report })
      const [digest, bytes] = yield* file(async () => {
        const digest = await sha256OfFile(half)
        await fs.rename(half, disk)
        return [digest, (await fs.stat(disk)).size] as const
      })
      const record = new RootfsRecord({ variant, source, digest, bytes, createdAt: yield* DateTime.now })
      const text = yield* Effect.orDie(Schema.encode(Record)(record))
      yield* AtomicFile.write(recordFile, Buffer.from(text), 0o600)
      const seconds = Math.round(((yield* Clock.currentTimeMillis) - begun) / 1000)
      report({ phase: "done", fraction: 1, detail: `${Math.round(bytes / 1e6)} MB in ${seconds} s` })
      return { path: disk, record }
    })

  const ensure = (variant: RootfsVariant, report: Report) =>
    Effect.gen(function* () {
      yield* Directories.ensurePrivate(paths.baseRootfs)
      yield* Lock.acquire(`${paths.baseRootfs}/.lock`, true)
      return yield* Effect.orElse(current, () => assemble(variant, report))
    }).pipe(
      Effect.scoped,
      Effect.mapError(unavailable),
      Effect.withSpan("BaseRootfs.ensure", { attributes: { variant } })
    )

  return BaseRootfs.of({ current, ensure })
})

const file = <A>(work: () => Promise<A>) =>
  Effect.tryPromise({ try: work, catch: (cause) => ({ _tag: "FileFailed" as const, message: String(cause) }) })
