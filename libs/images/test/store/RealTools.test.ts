import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { layerDiskBuilder } from "../../src/Mkroot.ts"
import { temporary } from "../registry/scripted.ts"
import {
  blobFiles,
  bundled,
  dockerRegistry,
  hexOf,
  imageOf,
  layoutOf,
  pathsOf,
  registryOf,
  simpleBuilder,
  sourceOf,
  storeAt,
  writeLayout
} from "./fixtures.ts"

describe("with docker-registry, skopeo and umoci", () => {
  it.scopedLive("skopeo and umoci read the store, whatever the image came as", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const registry = yield* dockerRegistry(root)
      const [oci, docker] = [yield* imageOf(["base", "oci"]), yield* imageOf(["base", "docker"])]
      writeLayout(path.join(root, "source"), { oci })
      registry.push(`oci:${root}/source:oci`, "team/oci:1.0")
      // skopeo makes a schema 2 image of it on the way.
      writeLayout(path.join(root, "other"), { docker })
      execFileSync("skopeo", [
        ...["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--format=v2s2"],
        ...[`oci:${root}/other:docker`, `docker://${registry.host}/docker:2`]
      ])
      const home = path.join(root, "home")
      const store = yield* storeAt(home)
      const first = yield* store.pulled(yield* sourceOf(`${registry.host}/team/oci:1.0`))
      assert.strictEqual(first.disk.digest, oci.manifest.digest)
      yield* store.pulled(yield* sourceOf(`${registry.host}/docker:2`))
      // One more, that is broken off.
      fs.writeFileSync(path.join(layoutOf(home), "blobs", "sha256", `${"0".repeat(64)}.part`), "x")

      const names = execFileSync("umoci", ["ls", "--layout", layoutOf(home)], { encoding: "utf8" })
        .trim()
        .split("\n")
      assert.sameMembers(names, [`${registry.host}/team/oci:1.0`, `${registry.host}/docker:2`])
      for (const name of names) {
        const said = execFileSync("skopeo", ["inspect", `oci:${layoutOf(home)}:${name}`], { encoding: "utf8" })
        assert.strictEqual(JSON.parse(said).Layers.length, 2)
        execFileSync("umoci", ["stat", "--image", `${layoutOf(home)}:${name}`])
        execFileSync("skopeo", [
          ...["copy", "--quiet", "--insecure-policy", `oci:${layoutOf(home)}:${name}`, `dir:${root}/copied`]
        ])
      }
    })
  )

  it.scopedLive(
    "a disk is made by aegis-mkroot of what docker-registry has; layers that are not what the configuration says give none",
    () =>
      Effect.gen(function* () {
        const root = yield* temporary
        const mkroot = path.join(import.meta.dirname, "../../../../native-bridge/mkroot")
        execFileSync("go", ["build", "-buildvcs=false", "-o", path.join(root, "aegis-mkroot"), "."], { cwd: mkroot })
        const registry = yield* dockerRegistry(root)
        const image = yield* imageOf(["lower", "upper", "topmost"])
        writeLayout(path.join(root, "source"), { image })
        registry.push(`oci:${root}/source:image`, "app:1")
        const builder = layerDiskBuilder.pipe(Layer.provide(pathsOf(path.join(root, "home"), root)))
        const store = yield* storeAt(path.join(root, "home"), { builder })
        const { disk, told } = yield* store.pulled(yield* sourceOf(`${registry.host}/app:1`))
        const read = (file: string) => execFileSync("debugfs", ["-R", `cat ${file}`, disk.path], { encoding: "utf8" })
        assert.deepStrictEqual([read("/file-0"), read("/file-1")], ["topmost", "upper"])
        assert.isTrue(told.some((one) => one._tag === "BuildingDisk" && one.fraction === 1))

        // The blobs are as the manifest has them, the tars are not as the configuration has them.
        const wrong = yield* imageOf(["this", "that"], { diffIds: ["that", "this"] })
        writeLayout(path.join(root, "wrong"), { wrong })
        const error = yield* Effect.flip(store.pulled(yield* sourceOf(`oci:${root}/wrong`)))
        assert.strictEqual(error._tag, "DigestMismatch", error.message)
        assert.deepStrictEqual(fs.readdirSync(path.join(root, "home", "data", "disks")), [path.basename(disk.path)])
        assert.strictEqual((yield* store.list).images.length, 1)
      }),
    60_000
  )

  it.scopedLive(
    "T-85 a pull that is killed at any point and repeated downloads only what is missing",
    () =>
      Effect.gen(function* () {
        const root = yield* temporary
        const image = yield* imageOf([randomBytes(600_000), randomBytes(600_000), randomBytes(600_000)])
        const sizes = [...image.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0)
        // 150 kB of each request, and then nothing any more, until the last round.
        let slow = true
        let sent = 0
        const registry = yield* registryOf(new Map([["1", image]]), ({ bytes, digest, from, response }) => {
          const piece = bytes.subarray(from, slow ? from + 150_000 : bytes.length)
          if (digest === image.config) return false
          sent += piece.length
          response.writeHead(from > 0 ? 206 : 200, {
            "content-length": bytes.length - from,
            ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {})
          })
          if (piece.length === bytes.length - from) response.end(piece)
          else response.write(piece)
          return true
        })
        const home = path.join(root, "home")
        const name = `${registry.host}/app:1`
        const program = bundled("pullOnce.ts", path.join(root, "pullOnce.mjs"))
        const run = (mode: string) => {
          const child = spawn(process.execPath, [program, home, name, mode], { stdio: ["ignore", "pipe", "inherit"] })
          const said: Array<string> = []
          child.stdout.on("data", (bytes) => said.push(String(bytes)))
          const gone = new Promise((done) => child.once("exit", done))
          return { child, said, gone }
        }
        const soon = Schedule.spaced("10 millis")
        const parts = () => {
          const place = path.join(layoutOf(home), "blobs", "sha256")
          const names = fs.existsSync(place) ? fs.readdirSync(place) : []
          return names.map((file) => fs.statSync(path.join(place, file)).size).reduce((sum, size) => sum + size, 0)
        }
        for (const round of [1, 2]) {
          const { child, gone } = run("")
          yield* Effect.retry(
            Effect.try(() => assert.isAtLeast(parts(), round * 450_000)),
            soon
          ).pipe(Effect.timeout("15 seconds"))
          child.kill("SIGKILL")
          yield* Effect.promise(() => gone)
        }
        slow = false
        // Killed while it builds the disk.
        const building = run("slow")
        yield* Effect.retry(
          Effect.try(() => assert.include(building.said.join(""), "building")),
          soon
        ).pipe(Effect.timeout("15 seconds"))
        building.child.kill("SIGKILL")
        yield* Effect.promise(() => building.gone)
        const disks = () => fs.readdirSync(path.join(home, "data", "disks"))
        assert.strictEqual(disks().filter((file) => file.includes(".tmp-")).length, 1)

        const builder = simpleBuilder()
        const store = yield* storeAt(home, { builder: builder.layer })
        assert.deepStrictEqual(disks(), [], "what the killed one left is gone")
        assert.deepStrictEqual((yield* store.list).images, [])
        const { disk } = yield* store.pulled(yield* sourceOf(name))
        assert.deepStrictEqual(disks(), [path.basename(disk.path)])
        assert.sameMembers(blobFiles(home), [image.manifest.digest, image.config, ...image.layers].map(hexOf))
        const layers = sizes - (image.blobs.get(image.config)?.length ?? 0)
        assert.strictEqual(sent, layers, "every byte of a layer came once")
      }),
    60_000
  )
})
