/**
 * Pulling an image and building its root disk, against `skopeo copy` and `umoci unpack` of the same; what that costs the daemon's
 * memory; and what an image that is here costs a start.
 */
import { parseImageSource } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { ImageStore, imageStore } from "@aegis/images"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { imageLayout, ImageRegistry } from "../test/product/ImageRegistry.ts"
import { dist, Product } from "../test/product/Product.ts"
import { median, ms, paired, program, quantile, report, timed } from "./measure.ts"

const runs = Number(process.env["AEGIS_BENCH_RUNS"] ?? 10)
const scratch = mkdtempSync(path.join(tmpdir(), "aegis-bench-"))
const registry = await ImageRegistry.start()

/** `count` layers of `megabytes` each, half of it text, in files of a few sizes. */
const push = (name: string, count: number, megabytes: number) => {
  const layers = Array.from({ length: count }, (_, layer) => {
    const directory = path.join(scratch, `${name}-${layer}`)
    mkdirSync(path.join(directory, `usr/lib/part-${layer}`), { recursive: true })
    for (let file = 0; file < 20; file++) {
      const bytes = Math.floor((megabytes * 1e6) / 20)
      const half = randomBytes(bytes / 2)
      writeFileSync(
        path.join(directory, `usr/lib/part-${layer}/file-${file}`),
        Buffer.concat([half, Buffer.from(half.toString("hex")).subarray(0, bytes / 2)])
      )
    }
    return directory
  })
  imageLayout(path.join(scratch, `${name}.layout`), layers)
  registry.push(path.join(scratch, `${name}.layout`), `bench/${name}:1`)
  for (const layer of layers) rmSync(layer, { recursive: true })
  rmSync(path.join(scratch, `${name}.layout`), { recursive: true })
}

push("image", 8, 37.5)
const aegis = await Product.make()
await aegis.run(["up"])
const cli = (...words: ReadonlyArray<string>) => program(path.join(dist, "aegis"), words, aegis.env)
const image = `${registry.host}/bench/image:1`
/** The most that the daemon has held, in MB, since the last look. */
const peak = () => {
  const status = readFileSync(`/proc/${aegis.daemonPid}/status`, "utf8")
  writeFileSync(`/proc/${aegis.daemonPid}/clear_refs`, "5")
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024
}
peak()
const before = peak()

const ours = async () => {
  const took = await timed(() => cli("image", "pull", image))
  await cli("image", "remove", image)
  return took
}
const theirs = async () => {
  const [layout, bundle] = [path.join(scratch, "theirs"), path.join(scratch, "bundle")]
  const took = await timed(async () => {
    const words = ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", `docker://${image}`, `oci:${layout}:1`]
    await program("skopeo", words)
    await program("umoci", [
      "unpack",
      ...(process.getuid?.() === 0 ? [] : ["--rootless"]),
      "--image",
      `${layout}:1`,
      bundle
    ])
  })
  rmSync(layout, { recursive: true })
  rmSync(bundle, { recursive: true })
  return took
}
const pulled = await paired(runs, ours, theirs)
report(
  "aegis image pull of 300 MB in 8 layers against skopeo copy and umoci unpack",
  `${ms(pulled.a)} : ${ms(pulled.b)} = ${pulled.ratio.toFixed(2)} ×`,
  "at most 0.7 ×"
)
report(
  "what the daemon's memory grew by at most",
  `${(peak() - before).toFixed(0)} MB over ${before.toFixed(0)} MB`,
  "under 64 MB"
)

/** What a start does about its image before it boots, with the daemon's own store over the daemon's files. */
const resolved = (count: number): Promise<ReadonlyArray<number>> =>
  Effect.gen(function* () {
    const store = yield* ImageStore
    const source = yield* parseImageSource(image)
    const resolve = Effect.promise(() =>
      timed(() => Effect.runPromise(Effect.scoped(store.resolve(source, () => undefined))))
    )
    return yield* Effect.replicateEffect(resolve, count)
  }).pipe(
    Effect.provide(Layer.provide(imageStore, AegisPaths.layer(dist))),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", aegis.home]]))),
    Effect.scoped,
    Effect.runPromise
  )
await cli("image", "pull", image)
const [first = NaN, second = NaN, ...others] = await resolved(200)
report(
  "what an image that is here costs a start: the first of a process, the second, the median of others, their 99th percentile",
  [first, second, median(others), quantile(others, 0.99)].map(ms).join(" : "),
  "under 5 ms"
)

if (process.env["AEGIS_BENCH_LARGE"] !== undefined) {
  push("large", 8, 375)
  peak()
  await cli("image", "pull", `${registry.host}/bench/large:1`)
  report(
    "the same for an image of 3 GB",
    `${(peak() - before).toFixed(0)} MB over ${before.toFixed(0)} MB`,
    "under 64 MB"
  )
}
await aegis.remove()
await registry.stop()
rmSync(scratch, { recursive: true, force: true })
