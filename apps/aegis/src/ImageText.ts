/**
 * How images are shown: as a table, in full, and as JSON.
 */
import { ImageDetails, ImageList, ImagesRemoved, type ImageSummary } from "@aegis/domain"
import * as Schema from "effect/Schema"
import { escapeLine } from "./Escape.ts"
import { restTime as formatTime } from "@aegis/contract"

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
    usedAt === undefined ? "-" : formatTime(usedAt)
  )

export const imageDetails = ({ alsoNamed, disk, layers, summary }: ImageDetails): string => {
  const line = (label: string, value: string) => `${`${label}:`.padEnd(13)}${escapeLine(value)}\n`
  return [
    line("Image", summary.name),
    ...alsoNamed.map((name) => line("Also", name)),
    line("Digest", summary.digest),
    line("Platform", summary.platform),
    line("Size", formatBytes(summary.blobBytes)),
    line("Pulled", formatTime(summary.pulledAt)),
    ...(summary.usedAt === undefined ? [] : [line("Last Used", formatTime(summary.usedAt))]),
    line(
      "Disk",
      summary.diskBytes === undefined ? `${disk} (not built)` : `${disk} (${formatBytes(summary.diskBytes)})`
    ),
    "Layers:\n",
    ...layers.map(({ bytes, digest }) => `  ${digest} ${formatBytes(bytes)}\n`)
  ].join("")
}

export const imagesRemoved = ({ freedBytes, names }: ImagesRemoved): string =>
  `${names.map((name) => `Removed ${escapeLine(name)}\n`).join("")}Freed ${formatBytes(freedBytes)}\n`

export const imageListJson = Schema.encodeSync(ImageList)
export const imageDetailsJson = Schema.encodeSync(ImageDetails)
export const imagesRemovedJson = Schema.encodeSync(ImagesRemoved)
