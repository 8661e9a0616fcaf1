import { imageSourceName, type PullProgress } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { temporary } from "../registry/scripted.ts"
import {
  type BlobHook,
  blobFiles,
  hexOf,
  imageOf,
  layoutOf,
  registryOf,
  simpleBuilder,
  sourceOf,
  storeAt,
  type TestImage
} from "./fixtures.ts"

const nobody = Effect.succeed(new Set<string>())
const quiet = () => undefined

const setUp = (tags: Readonly<Record<string, TestImage>>, hook?: BlobHook) =>
  Effect.gen(function* () {
    const home = yield* temporary
    const images = new Map(Object.entries(tags))
    const registry = yield* registryOf(images, hook)
    const builder = simpleBuilder()
    const store = yield* storeAt(home, { builder: builder.layer })
    return { home, images, registry, builder, store }
  })

const disksOf = (home: string) => fs.readdirSync(path.join(home, "data", "disks"))

describe("ImageStore.pull", () => {
  it.scopedLive("brings an image and its disk, tells each step, and asks for nothing twice", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["lower", "upper"])
      const { builder, home, registry, store } = yield* setUp({ "1": image })
      const source = yield* registry.source("1")
      const { disk, told } = yield* store.pulled(source)
      assert.deepStrictEqual([disk.digest, disk.stale], [image.manifest.digest, undefined])
      assert.strictEqual(disk.reference, `${registry.host}/app:1`)
      assert.match(path.basename(disk.path), new RegExp(`^${hexOf(image.manifest.digest)}-linux-(amd64|arm64)\\.ext4$`))
      assert.isTrue(fs.existsSync(disk.path))
      assert.deepStrictEqual([told[0]?._tag, told.at(-1)?._tag], ["Resolving", "Pulled"])
      const ends = told.flatMap((one) => (one._tag === "Downloading" && one.bytes === one.total ? [one.digest] : []))
      assert.sameMembers([...new Set(ends)], [image.config, ...image.layers])
      const again = yield* store.pulled(source)
      assert.deepStrictEqual(
        [...registry.asked.values()].filter((count) => count > 1),
        [2],
        "only the tag, once more"
      )
      assert.deepStrictEqual(builder.built, [disk.path])
      assert.deepStrictEqual(again.disk, disk)
      assert.sameMembers(blobFiles(home), [image.manifest.digest, image.config, ...image.layers].map(hexOf))
    })
  )

  it.scopedLive("T-62 a layer that an image names 127 times is downloaded once, and merged 127 times", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(Array.from({ length: 127 }, (_, at) => (at % 2 === 0 ? "same" : "same too")))
      const { registry, store } = yield* setUp({ "1": image })
      const { disk } = yield* store.pulled(yield* registry.source("1"))
      assert.strictEqual(new Set(image.layers).size, 2)
      assert.deepStrictEqual(
        image.layers.map((digest) => registry.asked.get(digest)),
        image.layers.map(() => 1)
      )
      const size = image.layers.reduce((sum, digest) => sum + (image.blobs.get(digest)?.length ?? 0), 0)
      assert.strictEqual(fs.statSync(disk.path).size, size)
    })
  )

  it.scopedLive("T-59 T-102 what is not as its descriptor says gets no name and no disk", () =>
    Effect.gen(function* () {
      for (const sizeOff of [-1, 1, 0]) {
        const image = yield* imageOf(["layer"], { sizeOff })
        const { home, registry, store } = yield* setUp({ "1": image }, ({ bytes, digest, response }) => {
          if (digest !== image.layers[0] || sizeOff !== 0) return false
          response.end(Buffer.alloc(bytes.length))
          return true
        })
        const error = yield* Effect.flip(store.pulled(yield* registry.source("1")))
        assert.strictEqual(error._tag, "DigestMismatch", error.message)
        assert.deepStrictEqual((yield* store.list).images, [])
        assert.deepStrictEqual(disksOf(home), [])
        assert.notInclude(blobFiles(home), hexOf(image.layers[0] ?? ""))
      }
    })
  )

  it.scopedLive("T-69 a configuration with another number of diff_ids than layers is refused", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["a", "b"], { diffIds: ["a"] })
      const { registry, store } = yield* setUp({ "1": image })
      const error = yield* Effect.flip(store.pulled(yield* registry.source("1")))
      assert.deepInclude(error, { _tag: "ImageInvalid", what: "config" })
      assert.isUndefined(registry.asked.get(image.layers[0] ?? ""), "no layer is fetched for it")
    })
  )

  it.scopedLive("T-99 a layer whose connection breaks again and again comes whole, each byte once", () =>
    Effect.gen(function* () {
      const image = yield* imageOf([randomBytes(400_000)])
      const layer = image.layers[0] ?? ""
      const offsets: Array<number> = []
      const { registry, store } = yield* setUp({ "1": image }, ({ bytes, count, digest, from, response }) => {
        if (digest !== layer) return false
        offsets.push(from)
        if (count > 2) return false
        response.writeHead(from > 0 ? 206 : 200, {
          "content-length": bytes.length - from,
          ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {})
        })
        response.write(bytes.subarray(from, from + 100_000), () => response.destroy())
        return true
      })
      yield* store.pulled(yield* registry.source("1"))
      assert.strictEqual(offsets.length, 3)
      assert.isAbove(offsets[2] ?? 0, offsets[1] ?? 0)
      assert.isAbove(offsets[1] ?? 0, 0)
    })
  )

  it.scopedLive(
    "T-110 two pulls of one image: one download of each blob, one disk; the first is cancelled, the second goes on",
    () =>
      Effect.gen(function* () {
        const image = yield* imageOf(["a", "b"])
        const layer = image.layers[0] ?? ""
        const runFork = Runtime.runFork(yield* Effect.runtime<never>())
        const begun = yield* Deferred.make<void>()
        let finish = quiet
        const { builder, registry, store } = yield* setUp({ "1": image }, ({ bytes, digest, response }) => {
          if (digest !== layer) return false
          response.writeHead(200, { "content-length": bytes.length })
          response.write(bytes.subarray(0, 10))
          finish = () => void response.end(bytes.subarray(10))
          runFork(Deferred.succeed(begun, undefined))
          return true
        })
        const source = yield* registry.source("1")
        const first = yield* Effect.fork(store.pulled(source))
        yield* Deferred.await(begun)
        const told: Array<PullProgress> = []
        const joined = yield* Deferred.make<void>()
        const second = yield* Effect.fork(
          store.pull(source, {
            refresh: true,
            report: (progress) => {
              told.push(progress)
              if (progress._tag === "Downloading" && progress.shared) runFork(Deferred.succeed(joined, undefined))
            }
          })
        )
        yield* Deferred.await(joined)
        yield* Fiber.interrupt(first)
        finish()
        const disk = yield* Fiber.join(second)
        assert.deepStrictEqual(builder.built, [disk.path])
        for (const digest of [image.config, ...image.layers]) assert.strictEqual(registry.asked.get(digest), 1)
      })
  )

  it.scopedLive(
    "T-111 twenty pulls from a registry that stalls: a few connections to it, and another registry is not held up",
    () =>
      Effect.gen(function* () {
        const stalled = new Map<string, TestImage>()
        for (let at = 0; at < 20; at++) stalled.set(`${at}`, yield* imageOf([`layer ${at}`]))
        let hanging = 0
        const slow = yield* registryOf(stalled, () => ++hanging > 0)
        const image = yield* imageOf(["quick"])
        const { registry, store } = yield* setUp({ "1": image })
        const hung = yield* Effect.forEach(stalled.keys(), (tag) =>
          Effect.flatMap(slow.source(tag), (source) => Effect.fork(store.pulled(source)))
        )
        yield* Effect.sleep("20 millis").pipe(Effect.repeat({ until: () => hanging >= 6 }))
        const { disk } = yield* store.pulled(yield* registry.source("1"))
        assert.isTrue(fs.existsSync(disk.path))
        assert.strictEqual(hanging, 6)
        yield* Fiber.interruptAll(hung)
      })
  )

  it.scopedLive("Docker's schema 2 is kept with its own digest and shown as OCI's", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["a"], { docker: true })
      const { home, registry, store } = yield* setUp({ "1": image })
      const { disk } = yield* store.pulled(yield* registry.source("1"))
      assert.strictEqual(disk.digest, image.manifest.digest)
      const { manifests } = JSON.parse(fs.readFileSync(path.join(layoutOf(home), "index.json"), "utf8"))
      assert.strictEqual(manifests[0].mediaType, "application/vnd.oci.image.manifest.v1+json")
      assert.include(blobFiles(home), hexOf(image.manifest.digest))
      assert.include(blobFiles(home), hexOf(manifests[0].digest))
    })
  )
})

describe("ImageStore.resolve", () => {
  it.scopedLive("T-112 an image that was pulled once starts with no network; one that was not is named", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["a"])
      const home = yield* temporary
      const name = yield* Effect.scoped(
        Effect.gen(function* () {
          const registry = yield* registryOf(new Map([["1", image]]))
          const source = yield* registry.source("1")
          yield* (yield* storeAt(home)).pulled(source)
          return imageSourceName(source)
        })
      )
      const store = yield* storeAt(home)
      const disk = yield* store.resolve(yield* sourceOf(name), quiet)
      assert.deepStrictEqual([disk.digest, disk.stale], [image.manifest.digest, undefined])
      // By what it is as well, since that cannot have changed.
      const byDigest = name.replace(/:1$/, `@${image.manifest.digest}`)
      assert.strictEqual((yield* store.resolve(yield* sourceOf(byDigest), quiet)).path, disk.path)
      const other = name.replace("app", "other")
      const error = yield* Effect.flip(store.resolve(yield* sourceOf(other), quiet))
      assert.strictEqual(error._tag, "RegistryUnavailable")
      assert.include(error.message, other)
    })
  )

  it.scopedLive("T-73 offline, a refresh uses the image that is here and says so; online, the tag moves", () =>
    Effect.gen(function* () {
      const [old, young] = [yield* imageOf(["old"]), yield* imageOf(["young"])]
      const home = yield* temporary
      const store = yield* storeAt(home)
      const name = yield* Effect.scoped(
        Effect.gen(function* () {
          const images = new Map([["1", old]])
          const registry = yield* registryOf(images)
          const source = yield* registry.source("1")
          yield* store.pulled(source)
          images.set("1", young)
          assert.strictEqual((yield* store.resolve(source, quiet)).digest, old.manifest.digest, "nobody was asked")
          assert.strictEqual((yield* store.pulled(source)).disk.digest, young.manifest.digest)
          return imageSourceName(source)
        })
      )
      const { disk, told } = yield* store.pulled(yield* sourceOf(name))
      assert.strictEqual(disk.digest, young.manifest.digest)
      assert.include(disk.stale ?? "", "cannot be used")
      const last = told.at(-1)
      assert.isTrue(last?._tag === "Pulled" && last.stale === disk.stale)
    })
  )

  it.scopedLive("a disk that was lost is built again from the blobs; a damaged blob is fetched again", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["a"])
      const { images, registry, store } = yield* setUp({ "1": image })
      const source = yield* registry.source("1")
      const { disk } = yield* store.pulled(source)
      // The tag moves: nobody asked for that image.
      images.set("1", yield* imageOf(["young"])).set("old", image)
      fs.rmSync(disk.path)
      yield* store.resolve(source, quiet)
      assert.strictEqual(registry.asked.get(image.layers[0] ?? ""), 1)
      assert.isTrue(fs.existsSync(disk.path))
      fs.rmSync(disk.path)
      for (const digest of [image.config, ...image.layers]) fs.writeFileSync(store.blobs.path(digest), "damaged")
      yield* store.resolve(source, quiet)
      assert.strictEqual(registry.asked.get(image.layers[0] ?? ""), 2)
      assert.isTrue(fs.existsSync(disk.path))
    })
  )

  it.scopedLive("an image that is here costs no request and no work: milliseconds at its best", () =>
    Effect.gen(function* () {
      const { registry, store } = yield* setUp({ "1": yield* imageOf(["a"]) })
      const source = yield* registry.source("1")
      yield* store.pulled(source)
      const asked = new Map(registry.asked)
      let best = Infinity
      for (let round = 0; round < 30; round++) {
        const [took] = yield* Effect.timed(Effect.scoped(store.resolve(source, quiet)))
        best = Math.min(best, Duration.toMillis(took))
      }
      assert.deepStrictEqual(registry.asked, asked)
      assert.isBelow(best, 5)
    })
  )
})

describe("ImageStore's inventory", () => {
  it.scopedLive("lists names with sizes, counts what is shared once, and shows an image in full", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* imageOf(["base", "one"]), yield* imageOf(["base", "two"])]
      const { home, registry, store } = yield* setUp({ "1": one, "2": two })
      const first = yield* store.pulled(yield* registry.source("1"))
      const second = yield* store.pulled(yield* registry.source("2"))
      const { images, totalBytes } = yield* store.list
      assert.deepStrictEqual(
        images.map(({ name }) => name),
        ["1", "2"].map((tag) => `${registry.host}/app:${tag}`)
      )
      const sizeOf = (image: TestImage) =>
        image.manifest.bytes.length + [...image.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0)
      assert.deepStrictEqual(
        images.map(({ blobBytes }) => blobBytes),
        [sizeOf(one), sizeOf(two)]
      )
      const files = [
        ...blobFiles(home).map((name) => path.join(layoutOf(home), "blobs", "sha256", name)),
        first.disk.path,
        second.disk.path
      ]
      assert.strictEqual(
        totalBytes,
        files.reduce((sum, file) => sum + fs.statSync(file).size, 0)
      )
      const details = yield* store.inspect(yield* registry.source("1"))
      assert.deepStrictEqual(
        details.layers.map(({ digest }) => digest),
        [...one.layers]
      )
      assert.deepStrictEqual([details.disk, details.alsoNamed], [first.disk.path, []])
      assert.isDefined(details.summary.usedAt)
      const absent = yield* Effect.flip(store.inspect(yield* sourceOf("nothing")))
      assert.strictEqual(absent._tag, "ImageNotFound")
    })
  )

  it.scopedLive("remove takes what no other image needs; an image in use is refused", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* imageOf(["base", "one"]), yield* imageOf(["base", "two"])]
      const { home, registry, store } = yield* setUp({ "1": one, "2": two })
      const [source, other] = [yield* registry.source("1"), yield* registry.source("2")]
      const { disk } = yield* store.pulled(source)
      yield* store.pulled(other)
      const used = yield* Effect.flip(store.remove(source, Effect.succeed(new Set([disk.path]))))
      assert.strictEqual(used._tag, "ImageInUse")
      const held = yield* Scope.make()
      yield* Scope.extend(store.resolve(source, quiet), held)
      assert.strictEqual((yield* Effect.flip(store.remove(source, nobody)))._tag, "ImageInUse")
      yield* Scope.close(held, Exit.void)
      const removed = yield* store.remove(source, nobody)
      assert.deepStrictEqual(removed.names, [`${registry.host}/app:1`])
      assert.isAbove(removed.freedBytes, 0)
      assert.sameMembers(blobFiles(home), [two.manifest.digest, two.config, ...two.layers].map(hexOf))
      assert.strictEqual(disksOf(home).length, 1)
      assert.strictEqual((yield* Effect.flip(store.remove(source, nobody)))._tag, "ImageNotFound")
    })
  )

  it.scopedLive("prune removes what lost its name, and with all every image that no instance needs", () =>
    Effect.gen(function* () {
      const [old, young, used] = [yield* imageOf(["old"]), yield* imageOf(["young"]), yield* imageOf(["used"])]
      const { home, images, registry, store } = yield* setUp({ "1": old, used })
      const source = yield* registry.source("1")
      yield* store.pulled(source)
      images.set("1", young)
      yield* store.pulled(source)
      const { disk } = yield* store.pulled(yield* registry.source("used"))
      fs.writeFileSync(path.join(layoutOf(home), "blobs", "sha256", `${"0".repeat(64)}.part`), "broken off")
      const inUse = Effect.succeed(new Set([disk.path]))
      const first = yield* store.prune({ all: false, inUse })
      assert.deepStrictEqual([first.names, disksOf(home).length], [[], 2])
      assert.notInclude(blobFiles(home), hexOf(old.manifest.digest))
      assert.isEmpty(blobFiles(home).filter((name) => name.endsWith(".part")))
      const second = yield* store.prune({ all: true, inUse })
      assert.deepStrictEqual(second.names, [`${registry.host}/app:1`])
      assert.deepStrictEqual(disksOf(home), [path.basename(disk.path)])
      assert.sameMembers(blobFiles(home), [used.manifest.digest, used.config, ...used.layers].map(hexOf))
    })
  )

  it.scopedLive("prune leaves a pull that is under way alone", () =>
    Effect.gen(function* () {
      const image = yield* imageOf(["a", "b"])
      const runFork = Runtime.runFork(yield* Effect.runtime<never>())
      const begun = yield* Deferred.make<void>()
      let finish = quiet
      const { registry, store } = yield* setUp({ "1": image }, ({ bytes, digest, response }) => {
        if (digest !== image.layers[1]) return false
        response.writeHead(200, { "content-length": bytes.length })
        response.write(bytes.subarray(0, 10))
        finish = () => void response.end(bytes.subarray(10))
        runFork(Deferred.succeed(begun, undefined))
        return true
      })
      const pulling = yield* Effect.fork(store.pulled(yield* registry.source("1")))
      yield* Deferred.await(begun)
      yield* Effect.sleep("5 millis").pipe(
        Effect.zipRight(Effect.orDie(store.blobs.list)),
        Effect.repeat({ until: (found) => found.length >= 2 })
      )
      assert.strictEqual((yield* store.prune({ all: true, inUse: nobody })).freedBytes, 0)
      finish()
      const { disk } = yield* Fiber.join(pulling)
      assert.isTrue(fs.existsSync(disk.path))
      for (const digest of image.layers) assert.strictEqual(registry.asked.get(digest), 1)
    })
  )

  it.scopedLive("a catalogue that cannot be read is said, kept, and thrown away only by prune --all", () =>
    Effect.gen(function* () {
      const { home, registry, store } = yield* setUp({ "1": yield* imageOf(["a"]) })
      yield* store.pulled(yield* registry.source("1"))
      const index = path.join(layoutOf(home), "index.json")
      fs.writeFileSync(index, "{")
      const error = yield* Effect.flip(store.list)
      assert.strictEqual(error._tag, "ImageStoreCorrupt")
      assert.include(error.remedy, "prune --all")
      assert.strictEqual((yield* Effect.flip(store.prune({ all: false, inUse: nobody })))._tag, "ImageStoreCorrupt")
      assert.strictEqual(fs.readFileSync(index, "utf8"), "{")
      yield* store.prune({ all: true, inUse: nobody })
      assert.deepStrictEqual([blobFiles(home), disksOf(home)], [[], []])
      assert.deepStrictEqual((yield* store.list).images, [])
    })
  )
})
