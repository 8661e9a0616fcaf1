import { Digest } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { beforeAll } from "vitest"
import { fromTar, mergeLayers } from "../src/Mkroot.ts"
import type { LayerFile } from "../src/store/DiskBuilder.ts"

const source = fileURLToPath(new URL("../../../native-bridge/mkroot", import.meta.url))
const product = fs.mkdtempSync(path.join(tmpdir(), "aegis-mkroot-"))

beforeAll(() => {
  execFileSync("go", ["build", "-o", path.join(product, "aegis-mkroot"), "."], { cwd: source })
  return () => fs.rmSync(product, { recursive: true })
}, 180_000)

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-mkroot-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

const digestOf = (bytes: Uint8Array) => Digest.make(`sha256:${createHash("sha256").update(bytes).digest("hex")}`)

/** A place for disks, and layers made by tar of files that a shell script makes. */
const place = Effect.map(temporary, (root) => {
  const out = path.join(root, "out")
  fs.mkdirSync(out)
  let count = 0
  const tarOf = (script: string) => {
    const files = fs.mkdtempSync(path.join(root, "files-"))
    execFileSync("sh", ["-ec", script], { cwd: files })
    return execFileSync("tar", ["--numeric-owner", "--owner=0", "--group=0", "-C", files, "-cf", "-", "."], {
      maxBuffer: 1 << 28
    })
  }
  const layer = (tar: Uint8Array, changes: Partial<LayerFile> = {}): LayerFile => {
    const blob = gzipSync(tar)
    const file = path.join(root, `blob-${count++}`)
    fs.writeFileSync(file, blob)
    return { path: file, compression: "gzip", digest: digestOf(blob), diffId: digestOf(tar), ...changes }
  }
  const told: Array<number> = []
  const disk = path.join(out, "root.ext4")
  return {
    root,
    tarOf,
    layer,
    told,
    disk,
    options: { product, disk, reference: "test:1", report: (fraction: number) => void told.push(fraction) },
    left: () => fs.readdirSync(out)
  }
})

const debugfs = (disk: string, request: string) =>
  spawnSync("debugfs", ["-R", request, disk], {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/sbin:/usr/bin:/bin", DEBUGFS_PAGER: "cat" }
  }).stdout

describe("mergeLayers", () => {
  it.scopedLive("merges gzip layers, the bottom one first, whiteouts and links understood (T-77)", () =>
    Effect.gen(function* () {
      const on = yield* place
      const low = on.layer(on.tarOf("mkdir d; echo low > d/x; echo kept > d/y; ln d/y hard"))
      const high = on.layer(on.tarOf("mkdir d; touch d/.wh.x; echo high > z"))
      const made = yield* mergeLayers({ ...on.options, layers: [low, high] })
      assert.strictEqual(made.bytes, fs.statSync(on.disk).size)
      assert.strictEqual(made.entries, 9)
      assert.strictEqual(debugfs(on.disk, "cat /d/y") + debugfs(on.disk, "cat /z"), "kept\nhigh\n")
      assert.notInclude(debugfs(on.disk, "ls -p /d"), "/x/")
      assert.deepStrictEqual(on.left(), ["root.ext4"])
      assert.strictEqual(on.told.at(-1), 1)
    })
  )

  it.scopedLive("T-69 a layer with another diff_id is a DigestMismatch that names both, and leaves no disk", () =>
    Effect.gen(function* () {
      const on = yield* place
      const tar = on.tarOf("echo 1 > a")
      const other = digestOf(Buffer.from("other"))
      const layer = on.layer(tar, { diffId: other })
      const error = yield* Effect.flip(mergeLayers({ ...on.options, layers: [layer] }))
      assert.strictEqual(error._tag, "DigestMismatch")
      assert.include(error, { expected: other, actual: digestOf(tar) })
      assert.include(error.message, layer.digest)
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("T-81 a damaged blob is an ImageInvalid that names the layer", () =>
    Effect.gen(function* () {
      const on = yield* place
      const layer = on.layer(on.tarOf("echo 1 > a"))
      fs.truncateSync(layer.path, 60)
      const error = yield* Effect.flip(mergeLayers({ ...on.options, layers: [layer] }))
      assert.strictEqual(error._tag, "ImageInvalid")
      assert.include(error.message, layer.digest)
      assert.include(error.message, "cut off")
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("T-74 an entry that leads out is an ImageInvalid that names it", () =>
    Effect.gen(function* () {
      const on = yield* place
      const tar = execFileSync("tar", [
        "-C",
        on.root,
        "-P",
        "--transform=s,^.*$,../out/evil,",
        "-cf",
        "-",
        "/etc/hostname"
      ])
      const error = yield* Effect.flip(mergeLayers({ ...on.options, layers: [on.layer(tar)] }))
      assert.strictEqual(error._tag, "ImageInvalid")
      assert.include(error.message, '"../out/evil"')
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("T-83 a bomb is an ImageTooLarge that names the limit", () =>
    Effect.gen(function* () {
      const on = yield* place
      const zeros = on.tarOf("truncate -s 90M zeros")
      const error = yield* Effect.flip(mergeLayers({ ...on.options, layers: [on.layer(zeros)] }))
      assert.strictEqual(error._tag, "ImageTooLarge")
      assert.include(error.message, "1000")
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("a blob or a program that is not there is an ImageStoreFailed", () =>
    Effect.gen(function* () {
      const on = yield* place
      const layer = on.layer(on.tarOf("echo 1 > a"))
      const gone = mergeLayers({ ...on.options, layers: [{ ...layer, path: `${on.root}/gone` }] })
      assert.include((yield* Effect.flip(gone)).message, `${on.root}/gone`)
      const absent = mergeLayers({ ...on.options, product: on.root, layers: [layer] })
      assert.strictEqual((yield* Effect.flip(absent))._tag, "ImageStoreFailed")
    })
  )
})

describe("fromTar", () => {
  it.scopedLive("takes an archive's entries as they are, compressed or not", () =>
    Effect.gen(function* () {
      const on = yield* place
      const tar = on.tarOf("touch .wh.name; ln -s /elsewhere proc")
      for (const bytes of [tar, gzipSync(tar)]) {
        const file = path.join(on.root, "rootfs.tar")
        fs.writeFileSync(file, bytes)
        yield* fromTar({ ...on.options, tar: file })
        assert.include(debugfs(on.disk, "ls -p /"), "/.wh.name/")
        assert.include(debugfs(on.disk, "stat /proc"), "/elsewhere")
      }
    })
  )

  it.scopedLive("interruption ends the program and leaves nothing", () =>
    Effect.gen(function* () {
      const on = yield* place
      // Much to read, all of it holes: the disk itself stays small.
      const file = path.join(on.root, "rootfs.tar")
      execFileSync("sh", ["-ec", `truncate -s 8G zeros; tar --format=pax -cf "$1" --sparse zeros`, "sh", file], {
        cwd: on.root
      })
      const fiber = yield* Effect.fork(fromTar({ ...on.options, tar: file }))
      yield* Effect.retry(
        Effect.suspend(() => (on.left().length === 1 ? Effect.void : Effect.fail("not yet"))),
        Schedule.spaced("5 millis")
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(on.left(), [])
    })
  )
})
