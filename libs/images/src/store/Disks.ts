/**
 * Root disks under `<home>/data/disks`, named by what they are made of. A disk that has its name is whole. Its modification time is
 * when it was last used: nothing else ever changes a read-only disk.
 */
import { type Digest, type PullError } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import { hostPlatform } from "../registry/Platform.ts"
import { privateDirectory } from "./BlobStore.ts"
import * as SharedWork from "./SharedWork.ts"
import { attempt, isAbsent, removeLeftovers, sizeOf, type StoreError } from "./StoreFile.ts"

export interface DiskFile {
  readonly path: string
  readonly bytes: number
  readonly usedAt: DateTime.Utc
}

export interface Disks {
  /** The disk of an image's manifest, by the manifest's digest. */
  readonly imageDisk: (manifest: Digest) => string
  /** The disk of a root file system, by its archive's digest. */
  readonly rootfsDisk: (archive: Digest) => string
  /** Sees to it that a disk is there; `build` runs once for all who ask at the same time. Counts as a use. */
  readonly ensure: (
    disk: string,
    build: (report: (fraction: number) => void) => Effect.Effect<void, PullError>,
    report: (fraction: number) => void
  ) => Effect.Effect<void, PullError>
  readonly has: (disk: string) => Effect.Effect<boolean, StoreError>
  /** Notes that it is used now. */
  readonly touch: (disk: string) => Effect.Effect<void, StoreError>
  readonly list: Effect.Effect<ReadonlyArray<DiskFile>, StoreError>
}

/** Disks that are built at the same time: each keeps a processor busy. */
const buildConcurrency = 2

export const make: Effect.Effect<Disks, StoreError, AegisPaths | Scope.Scope> = Effect.gen(function* () {
  const directory = (yield* AegisPaths).disks
  yield* privateDirectory(directory)
  yield* removeLeftovers(directory)
  const builds = yield* SharedWork.make<number, void, PullError>()
  const processors = yield* Effect.makeSemaphore(buildConcurrency)
  const { architecture, os } = hostPlatform()
  const hex = (digest: Digest) => digest.slice("sha256:".length)

  const has = (disk: string) => attempt(disk, async () => (await sizeOf(disk)) !== undefined)

  const touch = (disk: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => attempt(disk, () => fs.utimes(disk, now / 1000, now / 1000)))

  const buildOnce = (
    disk: string,
    build: (report: (fraction: number) => void) => Effect.Effect<void, PullError>,
    report: (fraction: number) => void
  ) =>
    builds.run({
      key: disk,
      origin: "",
      report,
      work: (tell) =>
        Effect.flatMap(has(disk), (there) => (there ? Effect.void : processors.withPermits(1)(build(tell))))
    })

  return {
    imageDisk: (manifest) => `${directory}/${hex(manifest)}-${os}-${architecture}.ext4`,
    rootfsDisk: (archive) => `${directory}/${hex(archive)}-rootfs.ext4`,
    ensure: (disk, build, report) =>
      Effect.flatMap(has(disk), (there) => (there ? Effect.void : buildOnce(disk, build, report))).pipe(
        Effect.zipRight(touch(disk)),
        Effect.withSpan("Disks.ensure", { attributes: { disk } })
      ),
    has,
    touch,
    list: attempt(directory, async () => {
      const found: Array<DiskFile> = []
      for (const name of await fs.readdir(directory)) {
        const path = `${directory}/${name}`
        const stat = await fs.lstat(path).catch((cause) => {
          if (isAbsent(cause)) return undefined
          throw cause
        })
        if (stat?.isFile() !== true || !name.endsWith(".ext4")) continue
        found.push({ path, bytes: stat.size, usedAt: DateTime.unsafeMake(stat.mtimeMs) })
      }
      return found
    })
  }
})
