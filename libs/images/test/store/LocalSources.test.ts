import { type LocalSource, type PullProgress } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { gzipSync } from "node:zlib"
import { digestOf } from "../../src/registry/Resolve.ts"
import { temporary } from "../registry/scripted.ts"
import { blobFiles, hexOf, imageOf, simpleBuilder, sourceOf, storeAt, tarOf, writeLayout } from "./fixtures.ts"

const skopeo = (from: string, to: string) => execFileSync("skopeo", ["copy", "--quiet", "--insecure-policy", from, to])

const setUp = Effect.gen(function* () {
  const root = yield* temporary
  const home = path.join(root, "home")
  const builder = simpleBuilder()
  const store = yield* storeAt(home, { builder: builder.layer })
  const at = (name: string) => path.join(root, name)
  return {
    home,
    store,
    built: builder.built,
    at,
    pull: (text: string) => Effect.flatMap(sourceOf(text), (source) => store.pulled(source, false)),
    fails: (text: string) => Effect.flip(Effect.flatMap(sourceOf(text), (source) => store.pulled(source, false)))
  }
})

const local = (text: string) =>
  Effect.flatMap(sourceOf(text), (source) =>
    source._tag === "RegistryImage" ? Effect.dieMessage("not local") : Effect.succeed<LocalSource>(source)
  )

describe("oci: and oci-archive:", () => {
  it.scopedLive("takes an image out of a layout, by tag or the only one, and verifies it", () =>
    Effect.gen(function* () {
      const { at, fails, home, pull } = yield* setUp
      const [one, two] = [yield* imageOf(["base", "one"]), yield* imageOf(["base", "two"])]
      writeLayout(at("single"), { latest: one })
      const { disk } = yield* pull(`oci:${at("single")}`)
      assert.strictEqual(disk.digest, one.manifest.digest)
      assert.sameMembers(blobFiles(home), [one.manifest.digest, one.config, ...one.layers].map(hexOf))
      writeLayout(at("both"), { "1": one, "2": two })
      assert.strictEqual((yield* pull(`oci:${at("both")}:2`)).disk.digest, two.manifest.digest)
      const unsure = yield* fails(`oci:${at("both")}`)
      assert.strictEqual(unsure._tag, "ImageNotFound")
      assert.include(unsure.message, `it has "1", "2"`)
      assert.include((yield* fails(`oci:${at("both")}:3`)).message, "no image is tagged 3")
      assert.strictEqual((yield* fails(`oci:${at("nowhere")}`))._tag, "ImageNotFound")
    })
  )

  it.scopedLive("a layout whose blobs are missing, damaged, devices or links to nowhere is refused", () =>
    Effect.gen(function* () {
      const { at, fails } = yield* setUp
      const image = yield* imageOf(["layer"])
      const blob = (digest = "") => path.join(at("layout"), "blobs", "sha256", hexOf(digest))
      const anew = () => {
        fs.rmSync(at("layout"), { recursive: true, force: true })
        writeLayout(at("layout"), { latest: image })
      }
      const said = fails(`oci:${at("layout")}`)
      anew()
      fs.rmSync(blob(image.layers[0]))
      assert.include(yield* said, { _tag: "ImageInvalid", what: "archive" })
      fs.symlinkSync("/no/such/file", blob(image.layers[0]))
      assert.include(yield* said, { _tag: "ImageInvalid", what: "archive" })
      fs.rmSync(blob(image.layers[0]))
      execFileSync("mkfifo", [blob(image.layers[0])])
      assert.include((yield* said).message, "is not a regular file")
      anew()
      fs.writeFileSync(blob(image.manifest.digest), JSON.stringify({ schemaVersion: 2 }))
      assert.include(yield* said, { _tag: "DigestMismatch" })
      anew()
      fs.appendFileSync(blob(image.layers[0]), "x")
      assert.include(yield* said, { _tag: "DigestMismatch" })
      anew()
      fs.writeFileSync(path.join(at("layout"), "oci-layout"), `{"imageLayoutVersion":"2.0.0"}`)
      assert.include(yield* said, { _tag: "ImageInvalid", what: "index" })
      anew()
      const index = path.join(at("layout"), "index.json")
      fs.writeFileSync(index, fs.readFileSync(index, "utf8").replaceAll("sha256:", "sha256:../../../"))
      assert.include(yield* said, { _tag: "ImageInvalid", what: "index" })
    })
  )

  it.scopedLive("takes skopeo's archives, plain and gzipped", () =>
    Effect.gen(function* () {
      const { at, pull } = yield* setUp
      const image = yield* imageOf([randomBytes(300_000), "upper"])
      writeLayout(at("layout"), { latest: image })
      skopeo(`oci:${at("layout")}:latest`, `oci-archive:${at("image.tar")}:v1`)
      assert.strictEqual((yield* pull(`oci-archive:${at("image.tar")}:v1`)).disk.digest, image.manifest.digest)
      fs.writeFileSync(at("image.tgz"), gzipSync(fs.readFileSync(at("image.tar"))))
      assert.strictEqual((yield* pull(`oci-archive:${at("image.tgz")}`)).disk.digest, image.manifest.digest)
      const home = fs.readdirSync(path.join(at("home"), "data", "images")).sort()
      assert.deepStrictEqual(home, ["blobs", "index.json", "oci-layout"], "nothing unpacked is left")
    })
  )

  it.scopedLive(
    "an unchanged source is not read again; a changed one is; one that is gone is replaced by what was read",
    () =>
      Effect.gen(function* () {
        const { at, built, pull } = yield* setUp
        const [old, young] = [yield* imageOf(["old"]), yield* imageOf(["young"])]
        writeLayout(at("layout"), { latest: old })
        const steps = (told: ReadonlyArray<PullProgress>) => [...new Set(told.map(({ _tag }) => _tag))]
        const text = `oci:${at("layout")}`
        yield* pull(text)
        assert.deepStrictEqual(steps((yield* pull(text)).told), ["Pulled"])
        fs.rmSync(at("layout"), { recursive: true })
        writeLayout(at("layout"), { latest: young })
        assert.strictEqual((yield* pull(text)).disk.digest, young.manifest.digest)
        assert.strictEqual(built.length, 2)
        fs.rmSync(at("layout"), { recursive: true })
        const { disk } = yield* pull(text)
        assert.strictEqual(disk.digest, young.manifest.digest)
        assert.include(disk.stale ?? "", `there is no ${at("layout")}`)
      })
  )
})

describe("docker-archive:", () => {
  it.scopedLive("takes what skopeo writes, by name or the only one", () =>
    Effect.gen(function* () {
      const { at, fails, home, pull, store } = yield* setUp
      const image = yield* imageOf([randomBytes(200_000), "upper"])
      writeLayout(at("layout"), { latest: image })
      skopeo(`oci:${at("layout")}:latest`, `docker-archive:${at("saved.tar")}:example.com/team/app:1`)
      const { disk } = yield* pull(`docker-archive:${at("saved.tar")}`)
      // Saved layers are unpacked ones: their digests are the diff_ids.
      const names = blobFiles(home)
      for (const diffId of image.diffIds) assert.include(names, hexOf(diffId))
      const byName = yield* pull(`docker-archive:${at("saved.tar")}:example.com/team/app:1`)
      assert.strictEqual(byName.disk.digest, disk.digest)
      const absent = yield* fails(`docker-archive:${at("saved.tar")}:app:2`)
      assert.strictEqual(absent._tag, "ImageNotFound")
      assert.include(absent.message, "it has example.com/team/app:1")
      const loaded = yield* store.load(yield* local(`docker-archive:${at("saved.tar")}`), () => undefined)
      assert.deepStrictEqual(loaded.names, ["example.com/team/app:1"])
      assert.strictEqual((yield* pull("example.com/team/app:1")).disk.path, disk.path)
    })
  )

  const saved = (
    image: { readonly blobs: ReadonlyMap<string, Buffer>; readonly config: string },
    layers: ReadonlyArray<string>
  ) => ({
    manifest: JSON.stringify([{ Config: "config.json", RepoTags: ["app:1"], Layers: layers }]),
    config: image.blobs.get(image.config) ?? Buffer.alloc(0)
  })

  it.scopedLive("takes an old docker's archive, where a layer that occurs twice is a link to the first", () =>
    Effect.gen(function* () {
      const { at, pull } = yield* setUp
      const image = yield* imageOf(["same", "same"].map(() => "same"))
      const layer = yield* Effect.promise(() => tarOf([{ name: "file-0", body: "same" }]))
      const { config, manifest } = saved(image, ["aa/layer.tar", "bb/layer.tar"])
      const archive = yield* Effect.promise(() =>
        tarOf([
          { name: "aa/layer.tar", body: layer },
          { name: "bb/layer.tar", type: "symlink", linkname: "../aa/layer.tar" },
          { name: "config.json", body: config },
          { name: "./manifest.json", body: manifest }
        ])
      )
      fs.writeFileSync(at("old.tar"), archive)
      const { disk } = yield* pull(`docker-archive:${at("old.tar")}`)
      assert.strictEqual(fs.statSync(disk.path).size, 2 * layer.length)
    })
  )

  it.scopedLive("takes a new docker's archive, which is an image layout as well, with gzipped layers", () =>
    Effect.gen(function* () {
      const { at, pull, store } = yield* setUp
      const image = yield* imageOf(["a", randomBytes(2_500_000)])
      const name = (digest: string) => `blobs/sha256/${hexOf(digest)}`
      const manifest = [{ Config: name(image.config), RepoTags: null, Layers: image.layers.map(name) }]
      writeLayout(at("new"), { latest: image })
      fs.writeFileSync(path.join(at("new"), "manifest.json"), JSON.stringify(manifest))
      execFileSync("tar", ["-C", at("new"), "-cf", at("new.tar"), "."])
      const docker = yield* pull(`docker-archive:${at("new.tar")}`)
      const oci = yield* pull(`oci-archive:${at("new.tar")}`)
      assert.isTrue(fs.readFileSync(docker.disk.path).equals(fs.readFileSync(oci.disk.path)))
      const { layers } = yield* store.inspect(yield* sourceOf(`docker-archive:${at("new.tar")}`))
      assert.isTrue(layers.every(({ mediaType }) => mediaType.endsWith("+gzip")))
    })
  )

  it.scopedLive("hostile archives are refused, and reach no file of the host", () =>
    Effect.gen(function* () {
      const { at, fails, home } = yield* setUp
      fs.writeFileSync(at("secret"), "secret")
      const image = yield* imageOf(["a"])
      const { config } = saved(image, [])
      const layer = yield* Effect.promise(() => tarOf([{ name: "file-0", body: "a" }]))
      type Entries = Parameters<typeof tarOf>[0]
      const manifest = (layers: ReadonlyArray<string>, Config = "config.json") => ({
        name: "manifest.json",
        body: JSON.stringify([{ Config, Layers: layers }])
      })
      const configFile = { name: "config.json", body: config }
      const refused = (entries: Entries, bytes?: (archive: Buffer) => Buffer) =>
        Effect.gen(function* () {
          const archive = yield* Effect.promise(() => tarOf(entries))
          fs.writeFileSync(at("bad.tar"), bytes === undefined ? archive : bytes(archive))
          return yield* fails(`docker-archive:${at("bad.tar")}`)
        })
      const link = (linkname: string, type: "symlink" | "link" = "symlink") => ({ name: "l", type, linkname })
      const bad: ReadonlyArray<Entries> = [
        [manifest([at("secret")]), configFile],
        [manifest([`../../../../../..${at("secret")}`]), configFile],
        [{ name: "../l", body: layer }, manifest(["../l"]), configFile],
        [link(at("secret")), manifest(["l"]), configFile],
        [link(`../../../../../..${at("secret")}`), manifest(["l"]), configFile],
        [link(at("secret"), "link"), manifest(["l"]), configFile],
        [
          link("m"),
          { name: "m", type: "symlink", linkname: "n" },
          { name: "n", body: layer },
          manifest(["l"]),
          configFile
        ],
        [link("l"), manifest(["l"]), configFile],
        [{ name: "l", type: "directory" }, manifest(["l"]), configFile],
        [{ name: "l", type: "fifo" }, manifest(["l"]), configFile],
        [manifest(["l"]), { name: "l", body: layer }],
        [{ name: "l", body: layer }, manifest([]), configFile],
        [{ name: "manifest.json", body: "{}" }],
        [{ name: "manifest.json", body: "[[[" }],
        [{ name: "manifest.json", body: `[{"Config":1,"Layers":[]}]` }],
        [configFile]
      ]
      for (const entries of bad) {
        const error = yield* refused(entries)
        assert.strictEqual(error._tag, "ImageInvalid", `${JSON.stringify(entries).slice(0, 200)}: ${error.message}`)
      }
      const huge = yield* refused([{ name: "manifest.json", body: Buffer.alloc(5 * 1024 ** 2, " ") }])
      assert.strictEqual(huge._tag, "ImageTooLarge")
      const many = manifest(Array.from({ length: 600 }, () => "l"))
      assert.strictEqual((yield* refused([{ name: "l", body: layer }, many, configFile]))._tag, "ImageTooLarge")
      const good = [{ name: "l", body: layer }, manifest(["l"]), configFile]
      assert.include((yield* refused(good, (archive) => archive.subarray(0, 700))).message, "archive")
      assert.include((yield* refused(good, () => randomBytes(5000))).message, "tar")
      assert.include((yield* refused(good, (a) => gzipSync(a).subarray(0, 200))).message, "cannot be unpacked")
      const zstd = Buffer.from("28b52ffd00000000", "hex")
      assert.include((yield* refused(good, () => zstd)).message, "packed with zstd")
      assert.strictEqual((yield* refused(good, () => Buffer.alloc(0)))._tag, "ImageInvalid")
      execFileSync("mkfifo", [at("fifo")])
      assert.include((yield* fails(`docker-archive:${at("fifo")}`)).message, "is not a regular file")
      assert.deepStrictEqual(blobFiles(home), [])
    })
  )
})

describe("rootfs:", () => {
  it.scopedLive("makes a disk named by the archive's digest, once, and anew when the archive has changed", () =>
    Effect.gen(function* () {
      const { at, built, fails, pull, store } = yield* setUp
      const archive = yield* Effect.promise(() => tarOf([{ name: "bin/sh", body: "x" }]))
      fs.writeFileSync(at("root.tar"), archive)
      const text = `rootfs:${at("root.tar")}`
      const { disk } = yield* pull(text)
      assert.strictEqual(disk.digest, digestOf(archive))
      assert.strictEqual(path.basename(disk.path), `${hexOf(disk.digest)}-rootfs.ext4`)
      assert.isTrue(fs.readFileSync(disk.path).equals(archive))
      assert.deepStrictEqual(
        (yield* pull(text)).told.map(({ _tag }) => _tag),
        ["Pulled"]
      )
      assert.strictEqual(built.length, 1)
      fs.rmSync(disk.path)
      yield* pull(text)
      assert.strictEqual(built.length, 2)
      fs.appendFileSync(at("root.tar"), Buffer.alloc(1024))
      assert.notStrictEqual((yield* pull(text)).disk.digest, disk.digest)
      const { images } = yield* store.list
      assert.deepStrictEqual(
        images.map(({ name }) => name),
        [text]
      )
      assert.deepStrictEqual((yield* store.inspect(yield* sourceOf(text))).layers, [])
      yield* store.prune({ all: false, inUse: Effect.succeed(new Set<string>()) })
      assert.deepStrictEqual(fs.readdirSync(path.dirname(disk.path)).length, 1)
      assert.strictEqual((yield* fails(`rootfs:${at("none.tar")}`))._tag, "ImageNotFound")
      fs.rmSync(at("root.tar"))
      const former = yield* pull(text)
      assert.include(former.disk.stale ?? "", "there is no")
      fs.rmSync(former.disk.path)
      assert.strictEqual((yield* fails(text))._tag, "ImageNotFound")
      assert.isFalse(fs.existsSync(former.disk.path))
    })
  )
})
