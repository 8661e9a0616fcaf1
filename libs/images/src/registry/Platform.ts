/**
 * Which of an index's images is for this machine (image-spec, "Platform variants").
 */
import { PlatformNotFound } from "@aegis/domain"
import * as Either from "effect/Either"
import { type ImageIndex, type IndexEntry, isIndexType, isManifestType, type PlatformName } from "./Manifest.ts"

/** The platform of guests on this machine: guests are always Linux. */
export const hostPlatform = (): PlatformName =>
  process.arch === "arm64"
    ? { os: "linux", architecture: "arm64", variant: "v8" }
    : { os: "linux", architecture: "amd64", variant: undefined }

/**
 * The index's entry for a platform, a manifest or an index in its turn. Of two that fit equally the first is taken (T-67). An entry
 * that names no platform is taken only when none that does is there and it is the only one (as buildkit and skopeo write them).
 */
export const selectPlatform = (
  reference: string,
  wanted: PlatformName,
  index: ImageIndex
): Either.Either<IndexEntry, PlatformNotFound> => {
  const usable = index.manifests.filter(({ mediaType }) => isManifestType(mediaType) || isIndexType(mediaType))
  const ranked = usable.flatMap((entry) => {
    const rank = entry.platform === undefined ? 0 : fitness(wanted, entry.platform)
    return rank > 0 ? [{ entry, rank }] : []
  })
  const best = Math.max(0, ...ranked.map(({ rank }) => rank))
  const found = ranked.find(({ rank }) => rank === best)?.entry
  if (found !== undefined) return Either.right(found)
  const only = usable[0]
  if (only !== undefined && usable.length === 1 && only.platform === undefined) return Either.right(only)
  return Either.left(
    new PlatformNotFound({
      reference,
      wanted: platformText(wanted),
      available: [
        ...new Set(usable.flatMap(({ platform }) => (platform === undefined ? [] : [platformText(platform)])))
      ]
        // buildkit's attestations stand in an index under this name.
        .filter((name) => name !== "unknown/unknown")
        .slice(0, 50)
    })
  )
}

/** Whether an image for `offered` runs where `wanted` does: 0 for no, more is better. */
export const fitness = (wanted: PlatformName, offered: PlatformName): number => {
  const [want, offer] = [normal(wanted), normal(offered)]
  if (offer.os !== want.os || offer.architecture !== want.architecture) return 0
  if (want.architecture === "amd64") {
    // amd64's variants are levels of instructions; a guest's processor is only sure to have the first.
    const level = levelOf(offer.variant, "v1")
    return level === 1 ? 100 : 0
  }
  const [has, needs] = [levelOf(want.variant, "v8"), levelOf(offer.variant, "v8")]
  return needs >= 8 && needs <= has ? needs : 0
}

/** `linux/arm64/v8`. */
export const platformText = ({ architecture, os, variant }: PlatformName): string =>
  [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].map(printable).join("/")

/** The names that other tools write for the same architecture. */
const normal = ({ architecture, os, variant }: PlatformName): PlatformName => {
  const name = architecture.toLowerCase()
  const known = name === "x86_64" || name === "x86-64" ? "amd64" : name === "aarch64" ? "arm64" : name
  return { os: os.toLowerCase(), architecture: known, variant: variant?.toLowerCase() }
}

/** 8 of `v8`; a variant that is no number fits nothing. */
const levelOf = (variant: string | undefined, usual: string): number => {
  const match = /^v?([0-9]{1,2})(?:\.[0-9]{1,2})?$/.exec(variant === undefined || variant === "" ? usual : variant)
  return match === null ? Number.POSITIVE_INFINITY : Number(match[1])
}

// These words go to a person's terminal.
const printable = (text: string) => text.slice(0, 40).replace(/[^\x21-\x7e]/g, "?")
