/**
 * Images in memory, for the scripted daemon. A pull's steps are those of the real one; `hangs:1` never comes, `absent:1` is nowhere,
 * `stale:1` is here from before.
 */
import { ImageLoaded } from "@aegis/contract"
import {
  BuildingDisk,
  Digest,
  Downloading,
  ImageDetails,
  ImageInUse,
  ImageList,
  ImageNotFound,
  ImagesRemoved,
  ImageSummary,
  Pulled,
  type PullProgress,
  Resolving,
  RootfsProgress,
  type RootfsVariant
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs"

const home = process.env["AEGIS_HOME"] ?? "/nowhere"
const digest = (digit: string) => Digest.make(`sha256:${digit.repeat(64)}`)
const images = new Map<string, ImageSummary>()

/** What was asked for is a line of the file `pulls`; one that was cut short, of `cuts`. */
const note = (file: string, words: object) => appendFileSync(`${home}/${file}`, `${JSON.stringify(words)}\n`)

export const steps = (name: string): ReadonlyArray<PullProgress> => [
  new Resolving({ name }),
  new Downloading({ digest: digest("a"), bytes: 0, total: 41_200_000, shared: false }),
  new Downloading({ digest: digest("b"), bytes: 500_000, total: 1_000_000, shared: false }),
  new Downloading({ digest: digest("a"), bytes: 41_200_000, total: 41_200_000, shared: false }),
  new BuildingDisk({ fraction: 0.62 })
]

const keep = (name: string) =>
  Effect.map(DateTime.now, (now) => {
    const summary = new ImageSummary({
      ...{ name, digest: digest("c"), platform: "linux/amd64", blobBytes: 42_200_000, pulledAt: now },
      ...(name.includes("fresh") ? {} : { diskBytes: 100_000_000, usedAt: now })
    })
    images.set(name, summary)
    return summary
  })

export const pull = (name: string, refresh: boolean) =>
  Stream.unwrap(
    Effect.gen(function* () {
      note("pulls", { source: name, refresh })
      if (name === "absent:1") return yield* new ImageNotFound({ reference: name, reason: "nobody has it" })
      if (name === "hangs:1") {
        return Stream.concat(Stream.fromIterable(steps(name).slice(0, 2)), Stream.never).pipe(
          Stream.ensuring(Effect.sync(() => note("cuts", { source: name })))
        )
      }
      yield* keep(name)
      const stale = name === "stale:1" ? { stale: "the registry\u001b[2J does not answer" } : {}
      return Stream.fromIterable([...steps(name), new Pulled({ name, digest: digest("c"), ...stale })])
    })
  )

export const load = (source: string) =>
  Stream.unwrap(
    Effect.gen(function* () {
      note("pulls", { source })
      const names = source.includes("nameless") ? [] : ["localhost/tool:1", "localhost/tool:2"]
      yield* Effect.forEach(names, keep)
      return Stream.fromIterable([...steps(source), new ImageLoaded({ names })])
    })
  )

const found = (name: string) => {
  const summary = images.get(name)
  return summary === undefined
    ? new ImageNotFound({ reference: name, reason: "it is not here" })
    : Effect.succeed(summary)
}

export const list = Effect.sync(() => new ImageList({ images: [...images.values()], totalBytes: 142_200_000 }))

export const inspect = (name: string) =>
  Effect.map(
    found(name),
    (summary) =>
      new ImageDetails({
        summary,
        alsoNamed: ["other\u001b:1"],
        layers: [
          { digest: digest("a"), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", bytes: 41_200_000 },
          { digest: digest("b"), mediaType: "application/vnd.oci.image.layer.v1.tar+zstd", bytes: 1_000_000 }
        ],
        disk: "/d/c.ext4"
      })
  )

export const remove = (name: string) =>
  Effect.gen(function* () {
    yield* found(name)
    if (name === "used:1") return yield* new ImageInUse({ reference: name })
    images.delete(name)
    return new ImagesRemoved({ names: [name], freedBytes: 142_200_000 })
  })

export const prune = (all: boolean) =>
  Effect.sync(() => {
    const names = all ? [...images.keys()] : []
    images.clear()
    return new ImagesRemoved({ names, freedBytes: 999 })
  })

export const pullRootfs = (variant: RootfsVariant) =>
  Stream.concat(
    Stream.fromIterable([
      new RootfsProgress({ phase: "resolving", detail: variant }),
      new RootfsProgress({ phase: "downloading", fraction: 0.25, detail: "aaaa: 1.0 of 4.0 MB" }),
      new RootfsProgress({ phase: "downloading", fraction: 1, detail: "aaaa: 4.0 of 4.0 MB" }),
      new RootfsProgress({ phase: "disk", fraction: 0.5 })
    ]),
    Stream.fromEffect(
      Effect.sync(() => {
        mkdirSync(`${home}/base-rootfs`, { recursive: true })
        const record = { variant, source: "test", digest: "sha256:0", bytes: 5 }
        writeFileSync(`${home}/base-rootfs/rootfs.json`, JSON.stringify(record))
        return new RootfsProgress({ phase: "done", fraction: 1, detail: "55 MB in 4 s" })
      })
    )
  )
