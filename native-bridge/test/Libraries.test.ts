import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { loadLibkrunfw } from "../src/Foreign.ts"
import { openKrun } from "../src/Krun.ts"
import { libraryOverrides, locateLibraries } from "../src/Libraries.ts"

const none = { libkrun: Option.none<string>(), libkrunfw: Option.none<string>() }

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "aegis-libraries-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

const product = Effect.map(temporary, (directory) => {
  fs.mkdirSync(path.join(directory, "lib"))
  return directory
})

const darwin = process.platform === "darwin"
const own = darwin ? "libkrun.dylib" : "libkrun.so"
const ownFirmware = darwin ? "libkrunfw.5.dylib" : "libkrunfw.so.5"

describe("Libraries", () => {
  it.scoped("the variable comes before the product's own, that before the loader's path", () =>
    Effect.gen(function* () {
      const productDir = yield* product
      const loader = yield* locateLibraries({ overrides: none, productDir })
      assert.deepStrictEqual(loader.libkrun, {
        library: "libkrun",
        path: darwin ? "libkrun.1.dylib" : "libkrun.so.1",
        source: "loader"
      })
      assert.deepStrictEqual(loader.libkrunfw, { library: "libkrunfw", path: ownFirmware, source: "loader" })

      fs.writeFileSync(path.join(productDir, "lib", own), "")
      const mixed = yield* locateLibraries({ overrides: none, productDir })
      assert.strictEqual(mixed.libkrun.source, "product")
      assert.strictEqual(mixed.libkrun.path, path.join(productDir, "lib", own))
      assert.strictEqual(mixed.libkrunfw.source, "loader")

      const named = path.join(productDir, "mine.so")
      fs.writeFileSync(named, "")
      fs.writeFileSync(path.join(productDir, "lib", ownFirmware), "")
      const overridden = yield* locateLibraries({ overrides: { ...none, libkrun: Option.some(named) }, productDir })
      assert.deepStrictEqual(overridden.libkrun, { library: "libkrun", path: named, source: "variable" })
      assert.strictEqual(overridden.libkrunfw.source, "product")
    })
  )

  it.scoped("T-220 a variable that names no file is an error, though the product has a library", () =>
    Effect.gen(function* () {
      const productDir = yield* product
      fs.writeFileSync(path.join(productDir, "lib", own), "")
      for (const value of ["/missing/libkrun.so", "relative/libkrun.so", ""]) {
        const overrides = { ...none, libkrun: Option.some(value) }
        const refused = yield* Effect.flip(locateLibraries({ overrides, productDir }))
        assert.strictEqual(refused._tag, "LibraryUnusable")
        assert.include(refused.message, "AEGIS_LIBKRUN ")
        assert.include(refused.remedy, "unset it")
      }
    })
  )

  it.effect("the variables are read through Config", () =>
    Effect.gen(function* () {
      const provider = ConfigProvider.fromMap(new Map([["AEGIS_LIBKRUNFW", "/fw.so"]]))
      const overrides = yield* Effect.withConfigProvider(libraryOverrides, provider)
      assert.deepStrictEqual(overrides, { libkrun: Option.none(), libkrunfw: Option.some("/fw.so") })
    })
  )

  it.scoped("T-220 a missing library, a text file and a library without the symbols are tagged errors", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const text = path.join(directory, "libkrun.so")
      fs.writeFileSync(text, "not a library")
      for (const file of [path.join(directory, "missing.so"), text]) {
        const krun = yield* Effect.flip(openKrun(file))
        assert.deepStrictEqual([krun._tag, krun.library, krun.path], ["LibraryUnusable", "libkrun", file])
        const firmware = yield* Effect.flip(loadLibkrunfw(file))
        assert.deepStrictEqual([firmware.library, firmware.path], ["libkrunfw", file])
        assert.include(firmware.remedy, "AEGIS_LIBKRUNFW")
      }
      const libc = darwin ? "libSystem.dylib" : "libc.so.6"
      const other = yield* Effect.flip(openKrun(libc))
      assert.match(other.message, /krun_\w+.*another version is needed/)
    })
  )
})
