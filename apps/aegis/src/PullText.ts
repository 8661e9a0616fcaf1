/**
 * A pull's steps in words, for the line that is shown while an image comes.
 */
import type { PullProgress } from "@aegis/domain"
import { escapeLine } from "./Escape.ts"
import type { Step } from "./ProgressLine.ts"

/** One for each pull: it adds up what its blobs have. Nothing for the last step, which is the result. */
export const pullText = (): ((progress: PullProgress) => Step | undefined) => {
  const blobs = new Map<string, { readonly bytes: number; readonly total: number }>()
  return (progress) => {
    switch (progress._tag) {
      case "Resolving": {
        const phase = `Resolving ${escapeLine(progress.name)}`
        return { phase, text: phase }
      }
      case "Downloading": {
        blobs.set(progress.digest, progress)
        const all = [...blobs.values()]
        const sum = (of: "bytes" | "total") => (all.reduce((sum, blob) => sum + blob[of], 0) / 1e6).toFixed(1)
        const done = all.filter(({ bytes, total }) => bytes >= total).length
        const text = `Downloading ${done} of ${all.length} blobs  ${sum("bytes")} of ${sum("total")} MB`
        return { phase: "Downloading", text }
      }
      case "BuildingDisk":
        return { phase: building, text: `${building} ${percent(progress.fraction)}` }
      case "Pulled":
        return undefined
    }
  }
}

export const building = "Building the root disk"

export const percent = (fraction: number): string => `${Math.floor(fraction * 100)} %`
