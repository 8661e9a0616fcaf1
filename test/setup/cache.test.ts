import { assert, describe, it } from "@effect/vitest"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, beforeEach } from "vitest"
import { setupModule } from "./program.ts"

const { cacheDirectory, entryName, makeCache, sourcesHash } = await setupModule<{
  cacheDirectory: (env: Readonly<Record<string, string>>, home: string) => string
  entryName: (name: string, inputs: Readonly<Record<string, string>>) => string
  sourcesHash: (root: string, paths: ReadonlyArray<string>) => string
  makeCache: (root: string) => {
    entry: (
      name: string,
      inputs: Readonly<Record<string, string>>,
      build: (directory: string) => Promise<void>
    ) => Promise<{ directory: string; hit: boolean }>
  }
}>("cache.mjs")

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "aegis-setup-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string) => {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
  writeFileSync(path.join(folder, name), text)
}

describe("the build cache's place", () => {
  it("is AEGIS_BUILD_CACHE, else XDG_CACHE_HOME if that is absolute, else ~/.cache", () => {
    assert.strictEqual(cacheDirectory({ AEGIS_BUILD_CACHE: "/a", XDG_CACHE_HOME: "/x" }, "/home/u"), "/a")
    assert.strictEqual(cacheDirectory({ AEGIS_BUILD_CACHE: "", XDG_CACHE_HOME: "/x" }, "/home/u"), "/x/aegis-build")
    assert.strictEqual(cacheDirectory({ XDG_CACHE_HOME: "x" }, "/home/u"), "/home/u/.cache/aegis-build")
    assert.strictEqual(cacheDirectory({}, "/home/u"), "/home/u/.cache/aegis-build")
  })
})

describe("a cache key", () => {
  it("changes with every input and not with their order", () => {
    const key = entryName("libkrun", { sources: "1", compiler: "2" })
    assert.match(key, /^libkrun-[0-9a-f]{20}$/)
    assert.strictEqual(entryName("libkrun", { compiler: "2", sources: "1" }), key)
    assert.notStrictEqual(entryName("libkrun", { sources: "1", compiler: "3" }), key)
    assert.notStrictEqual(entryName("libkrun", { sources: "12", compiler: "" }), key)
  })

  it("changes with a source's bytes, name and absence, and not with its time", () => {
    write("src/a.rs", "fn a() {}")
    write("src/b.rs", "")
    const before = sourcesHash(folder, ["src"])
    utimesSync(path.join(folder, "src/a.rs"), 1, 1)
    assert.strictEqual(sourcesHash(folder, ["src"]), before)
    write("src/a.rs", "fn b() {}")
    assert.notStrictEqual(sourcesHash(folder, ["src"]), before)
    write("src/a.rs", "fn a() {}")
    assert.strictEqual(sourcesHash(folder, ["src"]), before)
    rmSync(path.join(folder, "src/b.rs"))
    assert.notStrictEqual(sourcesHash(folder, ["src"]), before)
    write("src/c.rs", "")
    assert.notStrictEqual(sourcesHash(folder, ["src"]), before)
    assert.notStrictEqual(sourcesHash(folder, ["src", "missing"]), sourcesHash(folder, ["src"]))
  })

  it("does not see target, node_modules and hidden files", () => {
    write("src/a.rs", "fn a() {}")
    const before = sourcesHash(folder, ["src"])
    for (const name of ["src/target/x", "src/node_modules/x/y", "src/.cache"]) write(name, "x")
    assert.strictEqual(sourcesHash(folder, ["src"]), before)
  })
})

describe("a cache entry", () => {
  it("is built once for equal inputs", async () => {
    const cache = makeCache(folder)
    let builds = 0
    const build = async (directory: string) => {
      builds += 1
      writeFileSync(path.join(directory, "part"), "bytes")
    }
    const first = await cache.entry("part", { a: "1" }, build)
    const second = await cache.entry("part", { a: "1" }, build)
    assert.deepStrictEqual([first.hit, second.hit, builds], [false, true, 1])
    assert.strictEqual(readFileSync(path.join(second.directory, "part"), "utf8"), "bytes")
  })

  it("does not come into being if its build fails", async () => {
    const cache = makeCache(folder)
    const failure = await cache
      .entry("part", { a: "1" }, async (directory) => {
        writeFileSync(path.join(directory, "half"), "x")
        throw new Error("no compiler")
      })
      .then(String, String)
    assert.strictEqual(failure, "Error: no compiler")
    assert.deepStrictEqual(readdirSync(folder), [])
  })

  it("survives when two builds of it end at once", async () => {
    const cache = makeCache(folder)
    const build = async (directory: string) => {
      await new Promise((resolve) => setImmediate(resolve))
      writeFileSync(path.join(directory, "part"), "bytes")
    }
    const [a, b] = await Promise.all([cache.entry("part", {}, build), cache.entry("part", {}, build)])
    assert.strictEqual(a.directory, b.directory)
    assert.deepStrictEqual(readdirSync(folder), [path.basename(a.directory)])
  })

  it("that a killed build left half is swept by the next, and one that still runs is left alone", () => {
    const mine = path.join(folder, `.half-${process.pid}-abc`)
    // No process has this id: Linux ends at 2^22.
    const dead = path.join(folder, ".half-4194999-abc")
    for (const directory of [mine, dead]) mkdirSync(directory)
    makeCache(folder)
    assert.deepStrictEqual([existsSync(mine), existsSync(dead)], [true, false])
  })

  it("is dropped once four newer ones of its name exist, others are not", async () => {
    const cache = makeCache(folder)
    const nothing = () => Promise.resolve()
    const other = await cache.entry("part-two", {}, nothing)
    for (const [index, a] of ["1", "2", "3", "4", "5"].entries()) {
      const { directory } = await cache.entry("part", { a }, nothing)
      utimesSync(directory, index, index)
    }
    const left = readdirSync(folder).toSorted()
    const wanted = [...["2", "3", "4", "5"].map((a) => entryName("part", { a })), path.basename(other.directory)]
    assert.deepStrictEqual(left, wanted.toSorted())
  })
})
