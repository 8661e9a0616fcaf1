/**
 * The bindings against the libraries that the build has put into `dist` (another folder: AEGIS_DIST).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { loadLibkrunfw } from "../src/Foreign.ts"
import { writeKernel } from "../src/Kernel.ts"
import { openKrun } from "../src/Krun.ts"
import { locateLibraries } from "../src/Libraries.ts"
import { openLibc } from "../src/Libc.ts"

const productDir = process.env["AEGIS_DIST"] ?? path.resolve(import.meta.dirname, "../../dist")

const libraries = Effect.gen(function* () {
  const overrides = { libkrun: Option.none(), libkrunfw: Option.none() }
  const located = yield* locateLibraries({ overrides, productDir })
  assert.deepStrictEqual([located.libkrun.source, located.libkrunfw.source], ["product", "product"])
  const libkrunfw = yield* loadLibkrunfw(located.libkrunfw.path)
  const krun = yield* openKrun(located.libkrun.path)
  return { krun, libkrunfw }
})

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "aegis-product-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

describe("the product's libraries", () => {
  it.effect("libkrun has every call we make, block devices and a network", () =>
    Effect.gen(function* () {
      const { krun } = yield* libraries
      assert.isTrue(yield* krun.hasFeature("blk"))
      assert.isTrue(yield* krun.hasFeature("net"))
    })
  )

  it.scoped("T-222 libkrun's own errors come by name, and what it could misread never reaches it", () =>
    Effect.gen(function* () {
      const { krun } = yield* libraries
      const directory = yield* temporary
      const unknown = yield* Effect.flip(krun.setVmConfig(4242, 1, 256))
      assert.strictEqual(unknown.message, "krun_set_vm_config failed with ENOENT")

      const ctx = yield* krun.createContext
      yield* krun.setVmConfig(ctx, 255, 256)
      assert.strictEqual((yield* Effect.flip(krun.setVmConfig(ctx, 256, 256)))._tag, "KrunArgumentOutOfRange")
      yield* krun.disableImplicitInit(ctx)
      yield* krun.disableImplicitConsole(ctx)
      yield* krun.disableImplicitVsock(ctx)
      const early = yield* Effect.flip(krun.addVsockPort(ctx, 1024, path.join(directory, "s"), true))
      assert.strictEqual(early.message, "krun_add_vsock_port2 failed with ENODEV")
      yield* krun.addVsock(ctx)
      yield* krun.addVsockPort(ctx, 1024, path.join(directory, "s"), true)
      fs.writeFileSync(path.join(directory, "taken"), "")
      const taken = yield* Effect.flip(krun.addVsockPort(ctx, 1025, path.join(directory, "taken"), true))
      assert.strictEqual(taken.message, "krun_add_vsock_port2 failed with EEXIST")
      yield* krun.addVirtiofs(ctx, "/dev/root", directory, true)
      const nul = yield* Effect.flip(krun.addVirtiofs(ctx, "work\0space", directory, true))
      assert.strictEqual(nul._tag, "KrunArgumentOutOfRange")
      yield* krun.addDisk(ctx, "root", path.join(directory, "disk.ext4"), true)
      yield* krun.addNetUnixStream(ctx, path.join(directory, "net"), Uint8Array.of(0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee))
      yield* krun.setConsoleOutput(ctx, "/dev/null")
    })
  )

  it.scoped("a pinned file is the file's bytes, and goes into the guest's root as an overlay", () =>
    Effect.gen(function* () {
      const { krun } = yield* libraries
      const libc = yield* openLibc
      const directory = yield* temporary
      const file = path.join(directory, "harness")
      fs.writeFileSync(file, "#!harness")
      const pinned = yield* libc.pinFile(file)
      assert.strictEqual(pinned.length, 9)
      const ctx = yield* krun.createContext
      yield* krun.addVirtiofs(ctx, "/dev/root", directory, true)
      yield* krun.addOverlayFile(ctx, "/dev/root", "init.krun", pinned, 0o100755)
      const nowhere = yield* Effect.flip(krun.addOverlayFile(ctx, "/dev/root", "no/such", pinned, 0o100755))
      assert.strictEqual(nowhere.message, "krun_fs_add_overlay_file failed with ENOENT")
      assert.strictEqual((yield* Effect.flip(libc.pinFile(path.join(directory, "none"))))._tag, "FileUnusable")
    })
  )

  it.scoped("libkrunfw's kernel becomes a file with the version of its banner", () =>
    Effect.gen(function* () {
      const { libkrunfw } = yield* libraries
      const out = path.join(yield* temporary, "vmlinux")
      const { version } = yield* writeKernel(libkrunfw, out)
      assert.match(version, /^6\.\d+\.\d+/)
      const { bytes } = yield* libkrunfw.kernel
      assert.strictEqual(fs.statSync(out).size, bytes.length + (process.arch === "arm64" ? 0 : 4096))
    })
  )

  it.scoped("T-220 a libkrunfw under a foreign soname is refused: libkrun would not use it", () =>
    Effect.gen(function* () {
      const { libkrunfw } = yield* libraries
      const copy = path.join(yield* temporary, "copy.so")
      // A second copy in one process: its soname leads to the first.
      fs.copyFileSync(libkrunfw.path, copy)
      const refused = yield* Effect.flip(loadLibkrunfw(copy))
      assert.include(refused.message, "libkrun would load another")
    })
  )
})
