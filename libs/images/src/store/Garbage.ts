/**
 * Removing what no image names any more: blobs, disks, parts of downloads. What somebody works with is left alone.
 */
import * as Effect from "effect/Effect"
import { renameSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import type { BlobStore } from "./BlobStore.ts"
import type { CatalogueEntry } from "./Catalogue.ts"
import type { Disks } from "./Disks.ts"
import type { Leases } from "./Leases.ts"
import { digestsOf } from "./StoredImage.ts"
import { attempt, type StoreError } from "./StoreFile.ts"

export interface GarbageOptions {
  readonly blobs: BlobStore["Type"]
  readonly disks: Disks
  readonly leases: Leases
  /** What is named; the catalogue is locked meanwhile. */
  readonly entries: ReadonlyArray<CatalogueEntry>
  readonly diskOf: (entry: CatalogueEntry) => string
  /** Disks that instances need. */
  readonly inUse: ReadonlySet<string>
  /** Whether downloads that were broken off are given up. */
  readonly parts: boolean
}

/** Gives the number of bytes that are free now. */
export const collectGarbage = (options: GarbageOptions): Effect.Effect<number, StoreError> =>
  Effect.gen(function* () {
    const { blobs, disks, entries, inUse, leases } = options
    const needed = new Set<string>((yield* Effect.forEach(entries, (entry) => digestsOf(blobs, entry))).flat())
    const neededDisks = new Set([...inUse, ...entries.map(options.diskOf)])
    const remove = (file: string, key: string, bytes: number) =>
      attempt(file, async () => {
        if (leases.isHeld(key)) return 0
        // One step with the question above. Removing a large file takes a while, renaming it does not.
        const doomed = `${file}.tmp-removed`
        renameSync(file, doomed)
        await fs.rm(doomed, { force: true })
        return bytes
      })
    const freed = [
      yield* Effect.forEach(
        (yield* disks.list).filter((disk) => !neededDisks.has(disk.path)),
        (disk) => remove(disk.path, disk.path, disk.bytes)
      ),
      yield* Effect.forEach(
        (yield* blobs.list).filter(({ digest }) => !needed.has(digest)),
        ({ digest, size }) => remove(blobs.path(digest), digest, size)
      ),
      yield* Effect.forEach(options.parts ? yield* blobs.idleParts : [], (part) =>
        remove(part.path, `sha256:${path.basename(part.path, ".part")}`, part.size)
      )
    ]
    return freed.flat().reduce((sum, bytes) => sum + bytes, 0)
  }).pipe(Effect.withSpan("ImageStore.collectGarbage"))
