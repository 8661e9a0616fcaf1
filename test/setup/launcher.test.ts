import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterEach, beforeEach } from "vitest"
import { setupFolder, setupModule } from "./program.ts"

const { placeLauncher } = await setupModule<{
  placeLauncher: (root: string, directory: string, name: string) => void
}>("bundle.mjs")

let folder = ""
let dist = ""
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "aegis-launcher-"))
  dist = path.join(folder, "dist")
  mkdirSync(path.join(dist, "lib"), { recursive: true })
  writeFileSync(path.join(dist, "package.json"), `{ "type": "commonjs" }`)
  placeLauncher(path.resolve(setupFolder, "../.."), dist, "aegis")
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const bundle = (source: string) => writeFileSync(path.join(dist, "lib/aegis.cjs"), source)

const start = (file: string, args: ReadonlyArray<string> = [], cwd = "/") => {
  const { status, stderr, stdout } = spawnSync(file, [...args], { cwd, encoding: "utf8" })
  return { status, stderr, stdout }
}

const warm = () =>
  spawnSync(
    process.execPath,
    [path.join(setupFolder, "warm.cjs"), path.join(dist, "lib/aegis.cjs.cache"), path.join(dist, "aegis"), "x"],
    { encoding: "utf8" }
  )

describe("a launcher", () => {
  it("S-030 runs from anywhere, also through a symlink on PATH, and tells its program the real place", () => {
    bundle(`process.stdout.write(JSON.stringify([process.argv[1], __filename, __dirname, process.argv.slice(2)]))`)
    const bin = path.join(folder, "bin")
    mkdirSync(bin)
    symlinkSync("../dist/aegis", path.join(bin, "aegis"))
    symlinkSync("aegis", path.join(bin, "again"))
    const wanted = [
      path.join(dist, "aegis"),
      path.join(dist, "lib/aegis.cjs"),
      path.join(dist, "lib"),
      ["run", "--", "-x"]
    ]
    for (const file of [path.join(dist, "aegis"), path.join(bin, "aegis"), path.join(bin, "again")]) {
      const { status, stderr, stdout } = start(file, ["run", "--", "-x"])
      assert.deepStrictEqual([status, stderr, JSON.parse(stdout)], [0, "", wanted])
    }
  })

  it("gives the bundle require, module, import() and ASCII source as it was", () => {
    mkdirSync(path.join(dist, "node_modules/native"), { recursive: true })
    writeFileSync(path.join(dist, "node_modules/native/index.js"), "module.exports = 'outside'")
    bundle(
      `module.exports.x = require("native");` +
        `import("node:path").then((path) => import("../package.json", { with: { type: "json" } }).then(() => ` +
        `process.stdout.write(module.exports.x + path.sep + "\\u00e9"), (e) => process.stdout.write(String(e))))`
    )
    const { status, stdout } = start(path.join(dist, "aegis"))
    assert.deepStrictEqual([status, stdout], [0, "outside/é"])
  })

  it("passes the exit code on", () => {
    bundle("process.exitCode = 42")
    assert.strictEqual(start(path.join(dist, "aegis")).status, 42)
  })

  it("starts from its code cache, also after dist was moved", () => {
    bundle(`const f = (x) => x + 1; process.stdout.write(String(f(41)))`)
    const { status, stderr } = warm()
    assert.deepStrictEqual([status, stderr], [0, ""])
    assert.isTrue(existsSync(path.join(dist, "lib/aegis.cjs.cache")))
    const moved = path.join(folder, "moved here")
    renameSync(dist, moved)
    const accepted = spawnSync(
      process.execPath,
      ["-e", `${watchRejection}; require(${JSON.stringify(path.join(moved, "aegis"))})`],
      { encoding: "utf8" }
    )
    assert.strictEqual(accepted.stdout, "42rejected=false")
  })

  it("runs without a cache that is damaged, empty or of another bundle", () => {
    bundle(`process.stdout.write("first")`)
    warm()
    bundle(`process.stdout.write("the second one")`)
    assert.strictEqual(start(path.join(dist, "aegis")).stdout, "the second one")
    for (const bytes of ["", "no cache", "x".repeat(100_000)]) {
      writeFileSync(path.join(dist, "lib/aegis.cjs.cache"), bytes)
      assert.deepStrictEqual(start(path.join(dist, "aegis")), { status: 0, stderr: "", stdout: "the second one" })
    }
  })
})

const watchRejection = `
const vm = require("node:vm")
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options)
    process.on("exit", () => process.stdout.write("rejected=" + this.cachedDataRejected))
  }
}`
