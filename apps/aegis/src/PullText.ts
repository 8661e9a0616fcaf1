/**
 * A pull's steps in words, for the line that is shown while an image comes.
 */
import type { PullProgress } from "@aegis/domain"
import { booting } from "./BootProgress.ts"
import { escapeLine } from "./Escape.ts"

/** One for each pull: it adds up what its blobs have. */
export const pullText = (): ((progress: PullProgress) => string) => {
  const blobs = new Map<string, { readonly bytes: number; readonly total: number }>()
  return (progress) => {
    switch (progress._tag) {
      case "Resolving":
        return `Looking for ${escapeLine(progress.name)}`
      case "Downloading": {
        blobs.set(progress.digest, progress)
        const sum = (of: "bytes" | "total") => [...blobs.values()].reduce((all, blob) => all + blob[of], 0)
        const total = sum("total")
        return `Downloading ${percent(sum("bytes") / Math.max(1, total))} of ${(total / 1e6).toFixed(1)} MB`
      }
      case "BuildingDisk":
        return `Building the disk ${percent(progress.fraction)}`
      case "Pulled":
        return booting
    }
  }
}

const percent = (fraction: number) => `${Math.floor(fraction * 100)} %`
