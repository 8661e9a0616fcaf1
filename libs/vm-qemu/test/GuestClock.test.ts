import { AegisPaths } from "@aegis/host"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { counterKhz } from "../src/GuestClock.ts"

/** A product whose aegis-tsc is this shell script; each call of it leaves a line in `calls`. */
const product = (script: string) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-clock-"))
      const home = ConfigProvider.fromMap(new Map([["AEGIS_HOME", path.join(directory, "home")]]))
      const paths = yield* AegisPaths.pipe(Effect.provide(AegisPaths.layer(directory)), Effect.withConfigProvider(home))
      mkdirSync(paths.data, { recursive: true, mode: 0o700 })
      const program = path.join(directory, "aegis-tsc")
      writeFileSync(program, `#!/bin/sh\necho x >> ${directory}/calls\n${script}\n`)
      chmodSync(program, 0o755)
      return {
        directory,
        file: path.join(paths.data, "tsc.json"),
        calls: () => readFileSync(path.join(directory, "calls"), "utf8").length / 2,
        khz: counterKhz.pipe(Effect.provide(Layer.succeed(AegisPaths, paths)))
      }
    }),
    ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )

describe("the clock of an emulated guest", () => {
  it.scopedLive("is measured once in a boot of the host", () =>
    Effect.gen(function* () {
      const { calls, file, khz } = yield* product("echo 2445411")
      assert.deepStrictEqual(yield* khz, Option.some(2_445_411))
      assert.deepStrictEqual(yield* khz, Option.some(2_445_411))
      assert.strictEqual(calls(), 1)
      writeFileSync(file, JSON.stringify({ bootId: "an earlier one", khz: 1 }))
      assert.deepStrictEqual(yield* khz, Option.some(2_445_411))
      assert.strictEqual(calls(), 2)
      writeFileSync(file, "{")
      assert.deepStrictEqual(yield* khz, Option.some(2_445_411))
    })
  )

  it.scopedLive("is the guest's own where the host does not trust its counter, or the answer is none", () =>
    Effect.gen(function* () {
      const untrusted = yield* product("exit 3")
      assert.deepStrictEqual(yield* untrusted.khz, Option.none())
      assert.deepStrictEqual(yield* untrusted.khz, Option.none())
      assert.strictEqual(untrusted.calls(), 1)
      for (const words of ["echo", "echo 12", "echo 2445411 init=/bin/sh"]) {
        assert.deepStrictEqual(yield* (yield* product(words)).khz, Option.none(), words)
      }
    })
  )
})
