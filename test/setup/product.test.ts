import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, beforeEach } from "vitest"
import { setupModule } from "./program.ts"

const { assemble } = await setupModule<{
  assemble: (dist: string, entries: ReadonlyArray<{ from: string; to: string }>) => number
}>("product.mjs")
const { tar } = await setupModule<{
  tar: (entries: ReadonlyArray<{ name: string; mode: number; bytes?: Uint8Array }>) => Buffer
}>("tar.mjs")
const { sameDependencies } = await setupModule<{
  sameDependencies: (wanted: unknown, installed: unknown) => boolean
}>("dependencies.mjs")

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "aegis-setup-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const at = (...names: ReadonlyArray<string>) => path.join(folder, ...names)

const entry = (name: string, files: Readonly<Record<string, string>>) => {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(at(name, file)), { recursive: true })
    writeFileSync(at(name, file), text, { mode: file.includes(".") ? 0o644 : 0o755 })
  }
  return at(name)
}

describe("dist", () => {
  it("holds the entries' files with their modes, and is left alone when nothing changed", () => {
    const entries = [
      { from: entry("programs-1", { aegis: "#!x", "lib/aegis.cjs": "one" }), to: "" },
      { from: entry("libkrun-1", { "libkrun.so": "elf" }), to: "lib" }
    ]
    assert.strictEqual(assemble(at("dist"), entries), 3)
    assert.strictEqual(statSync(at("dist/aegis")).mode & 0o777, 0o755)
    assert.strictEqual(readFileSync(at("dist/lib/libkrun.so"), "utf8"), "elf")
    const { ino } = statSync(at("dist/aegis"))
    assert.strictEqual(assemble(at("dist"), entries), 0)
    assert.strictEqual(statSync(at("dist/aegis")).ino, ino)
  })

  it("gets back what was deleted, loses what is no longer built, keeps what is not ours", () => {
    const first = [{ from: entry("programs-1", { aegis: "#!x", old: "#!old" }), to: "" }]
    assemble(at("dist"), first)
    writeFileSync(at("dist/mine"), "")
    rmSync(at("dist/aegis"))
    assert.strictEqual(assemble(at("dist"), first), 1)
    assert.strictEqual(assemble(at("dist"), [{ from: entry("programs-2", { aegis: "#!y" }), to: "" }]), 2)
    assert.deepStrictEqual(readdirSync(at("dist")).toSorted(), [".build.json", "aegis", "mine"])
    assert.strictEqual(readFileSync(at("dist/aegis"), "utf8"), "#!y")
  })

  it("loses an old code cache when its bundle changes", () => {
    assemble(at("dist"), [{ from: entry("1", { "lib/aegis.cjs": "one", "lib/aegis.cjs.cache": "v8" }), to: "" }])
    assemble(at("dist"), [{ from: entry("2", { "lib/aegis.cjs": "two" }), to: "" }])
    assert.isFalse(existsSync(at("dist/lib/aegis.cjs.cache")))
  })
})

describe("the harness's archive", () => {
  it("is what tar reads", () => {
    const archive = tar([
      { name: "dev", mode: 0o755 },
      { name: "init.krun", mode: 0o755, bytes: Buffer.alloc(1000, "x") }
    ])
    assert.strictEqual(archive.length % 512, 0)
    const { stdout } = spawnSync("tar", ["-tvf", "-", "--utc", "--numeric-owner"], { input: archive, encoding: "utf8" })
    assert.deepStrictEqual(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.replaceAll(/ +/g, " ")),
      ["drwxr-xr-x 0/0 0 1970-01-01 00:00 dev/", "-rwxr-xr-x 0/0 1000 1970-01-01 00:00 init.krun"]
    )
  })
})

describe("npm ci", () => {
  const lock = (packages: object) => ({ packages: { "": { version: "0.1.0" }, "libs/a": {}, ...packages } })
  const effect = { version: "3.22.4", integrity: "sha512-x" }

  it("is skipped for what is installed as locked, optional packages of other systems left out", () => {
    const wanted = lock({
      "node_modules/effect": effect,
      "node_modules/fsevents": { version: "2.0.0", optional: true }
    })
    assert.isTrue(sameDependencies(wanted, lock({ "node_modules/effect": effect })))
  })

  it("is run for a missing, another or a tampered package, and for no node_modules at all", () => {
    const wanted = lock({ "node_modules/effect": effect })
    assert.isFalse(sameDependencies(wanted, undefined))
    assert.isFalse(sameDependencies(wanted, lock({})))
    assert.isFalse(sameDependencies(wanted, lock({ "node_modules/effect": { ...effect, version: "3.22.3" } })))
    assert.isFalse(sameDependencies(wanted, lock({ "node_modules/effect": { ...effect, integrity: "sha512-y" } })))
  })
})
