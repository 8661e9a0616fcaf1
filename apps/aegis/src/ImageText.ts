/**
 * How images are shown: as a table, in full, and as JSON.
 */
import { restTime } from "@aegis/contract"
import type { ImageDetails, ImageList, ImagesRemoved, ImageSummary } from "@aegis/domain"
import { escapeLine } from "./Escape.ts"

/** Decimal units, as registries and disks are measured. */
export const formatBytes = (bytes: number): string => {
  if (bytes < 1000) return `${bytes} B`
  const units = ["kB", "MB", "GB", "TB"]
  let value = bytes / 1000
  let unit = 0
  for (; value >= 999.95 && unit < units.length - 1; unit++) value /= 1000
  return `${value.toFixed(1)} ${units[unit]}`
}

const row = (image: string, digest: string, size: string, disk: string, used: string) =>
  `${image.padEnd(40)} ${digest.padEnd(12)} ${size.padEnd(10)} ${disk.padEnd(10)} ${used}\n`

/** A line for each name, and what all take together. */
export const imageTable = ({ images, totalBytes }: ImageList): string =>
  images.length === 0
    ? "No images\n"
    : row("IMAGE", "DIGEST", "SIZE", "DISK", "LAST USED") +
      images.map(imageRow).join("") +
      `\n${formatBytes(totalBytes)} in all; what images share is counted once.\n`

const imageRow = ({ blobBytes, digest, diskBytes, name, usedAt }: ImageSummary) =>
  row(
    escapeLine(name),
    digest.slice("sha256:".length).slice(0, 12),
    formatBytes(blobBytes),
    diskBytes === undefined ? "-" : formatBytes(diskBytes),
    usedAt === undefined ? "-" : restTime(usedAt)
  )

/** One line for each thing known, values from column 13 on, then the layers. */
export const imageDetails = ({ alsoNamed, disk, layers, summary }: ImageDetails): string => {
  const line = (label: string, value: string) => `${`${label}:`.padEnd(13)}${escapeLine(value)}\n`
  return [
    line("Image", summary.name),
    ...alsoNamed.map((name) => line("Also", name)),
    line("Digest", summary.digest),
    line("Platform", summary.platform),
    line("Size", formatBytes(summary.blobBytes)),
    line("Pulled", restTime(summary.pulledAt)),
    ...(summary.usedAt === undefined ? [] : [line("Last Used", restTime(summary.usedAt))]),
    line(
      "Disk",
      summary.diskBytes === undefined ? `${disk} (not built)` : `${disk} (${formatBytes(summary.diskBytes)})`
    ),
    "Layers:\n",
    ...layers.map(({ bytes, digest }) => `  ${digest} ${formatBytes(bytes)}\n`)
  ].join("")
}

/** What went, a line for each name, and what that gave back. */
export const imagesRemoved = ({ freedBytes, names }: ImagesRemoved): string =>
  `${names.map((name) => `Removed ${escapeLine(name)}\n`).join("")}Freed ${formatBytes(freedBytes)}\n`

/** All sizes are in bytes, all times in UTC. */
export const imageListJson = ({ images, totalBytes }: ImageList) => ({
  images: images.map(summaryJson),
  total_bytes: totalBytes
})

export const imageDetailsJson = ({ alsoNamed, disk, layers, summary }: ImageDetails) => ({
  ...summaryJson(summary),
  also_named: alsoNamed,
  layers: layers.map(({ bytes, digest, mediaType }) => ({ digest, media_type: mediaType, bytes })),
  disk
})

export const imagesRemovedJson = ({ freedBytes, names }: ImagesRemoved) => ({ names, freed_bytes: freedBytes })

const summaryJson = ({ blobBytes, digest, diskBytes, name, platform, pulledAt, usedAt }: ImageSummary) => ({
  ...{ name, digest, platform, blob_bytes: blobBytes, disk_bytes: diskBytes ?? null },
  ...{ pulled_at: restTime(pulledAt), used_at: usedAt === undefined ? null : restTime(usedAt) }
})
