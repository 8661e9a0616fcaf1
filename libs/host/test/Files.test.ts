import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { AtomicFile, Directories } from "../src/index.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-files-"))),
  (directory) => Effect.sync(() => execFileSync("rm", ["-rf", directory]))
)
const mode = (file: string) => (fs.lstatSync(file).mode & 0o777).toString(8)

describe("AtomicFile", () => {
  it.scoped("replaces a file whole, with its mode, and leaves nothing else", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = path.join(directory, "record.json")
      yield* AtomicFile.write(file, Buffer.from("old"), 0o600)
      yield* AtomicFile.write(file, Buffer.from('{"n":1}'), 0o600)
      assert.strictEqual(mode(file), "600")
      assert.deepStrictEqual(fs.readdirSync(directory), ["record.json"])
      assert.deepStrictEqual(yield* AtomicFile.readJson(file, Schema.Struct({ n: Schema.Int })), { n: 1 })
    })
  )

  it.scoped("a write that fails keeps what was there, and says where", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      fs.mkdirSync(path.join(directory, "taken"))
      const error = yield* Effect.flip(AtomicFile.write(path.join(directory, "taken"), Buffer.from("x"), 0o600))
      assert.include(error.message, "taken")
      assert.deepStrictEqual(fs.readdirSync(directory), ["taken"])
      const absent = yield* Effect.flip(AtomicFile.write(path.join(directory, "no", "file"), Buffer.from("x"), 0o600))
      assert.strictEqual(absent.code, "ENOENT")
    })
  )

  it.scoped("does not read through a symlink, a FIFO, a directory, too much, or what is not the schema's", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const at = (name: string) => path.join(directory, name)
      fs.writeFileSync(at("good"), '{"n":1}')
      fs.symlinkSync(at("good"), at("link"))
      execFileSync("mkfifo", [at("fifo")])
      fs.mkdirSync(at("directory"))
      fs.writeFileSync(at("large"), "")
      fs.truncateSync(at("large"), 2 ** 31)
      fs.writeFileSync(at("other"), '{"n":"one"}')
      fs.writeFileSync(at("cut"), '{"n":')
      for (const name of ["link", "fifo", "directory", "large", "other", "cut", "absent"]) {
        const error = yield* Effect.flip(AtomicFile.readJson(at(name), Schema.Struct({ n: Schema.Int })))
        assert.include(error.message, name)
      }
    })
  )
})

describe("Directories.ensurePrivate", () => {
  it.scoped("makes parents too, closes an open one, keeps what is in it", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const directory = path.join(root, "a", "b")
      yield* Directories.ensurePrivate(directory)
      assert.strictEqual(mode(directory), "700")
      fs.chmodSync(directory, 0o755)
      fs.writeFileSync(path.join(directory, "kept"), "")
      yield* Directories.ensurePrivate(directory)
      assert.strictEqual(mode(directory), "700")
      assert.deepStrictEqual(fs.readdirSync(directory), ["kept"])
    })
  )

  it.scoped("refuses a symlink and a file", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      fs.mkdirSync(path.join(root, "real"))
      fs.symlinkSync(path.join(root, "real"), path.join(root, "link"))
      fs.writeFileSync(path.join(root, "file"), "")
      assert.include((yield* Effect.flip(Directories.ensurePrivate(path.join(root, "link")))).message, "symbolic link")
      assert.include((yield* Effect.flip(Directories.ensurePrivate(path.join(root, "file")))).message, "file")
    })
  )

  it.scoped.skipIf(process.getuid?.() !== 0)("refuses another user's, and one below another user's in /tmp", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      fs.chmodSync(root, 0o1777)
      const taken = path.join(root, "aegis-0")
      fs.mkdirSync(taken)
      fs.chownSync(taken, 1234, 1234)
      assert.include((yield* Effect.flip(Directories.ensurePrivate(taken))).message, "belongs to user 1234")
      const below = yield* Effect.flip(Directories.ensurePrivate(path.join(taken, "run")))
      assert.include(below.message, "belongs to user 1234")
    })
  )
})

describe("Directories.removeTree", () => {
  it.scoped("T-142 removes links, not their targets, and directories of mode 0", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const outside = path.join(root, "outside")
      const tree = path.join(root, "tree")
      fs.mkdirSync(outside)
      fs.writeFileSync(path.join(outside, "precious"), "")
      fs.mkdirSync(path.join(tree, "closed", "inner"), { recursive: true })
      fs.writeFileSync(path.join(tree, "closed", "inner", "file"), "")
      fs.symlinkSync(outside, path.join(tree, "link"))
      fs.symlinkSync("/nowhere", path.join(tree, "dangling"))
      fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe])]), "")
      execFileSync("mkfifo", [path.join(tree, "fifo")])
      fs.chmodSync(path.join(tree, "closed", "inner"), 0)
      fs.chmodSync(path.join(tree, "closed"), 0)
      fs.chmodSync(tree, 0)
      yield* Directories.removeTree(tree)
      assert.deepStrictEqual(fs.readdirSync(root), ["outside"])
      assert.deepStrictEqual(fs.readdirSync(outside), ["precious"])
      yield* Directories.removeTree(tree)
    })
  )

  it.scoped("T-142 a symlink that comes in a directory's place meanwhile is not followed, by chmod neither", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const outside = path.join(root, "outside")
      const tree = path.join(root, "tree")
      fs.mkdirSync(outside)
      fs.writeFileSync(path.join(outside, "precious"), "")
      fs.chmodSync(outside, 0o500)
      // Swaps one name between a directory that must be opened up and a link to the outside, as fast as it can.
      const swap = [
        "const fs = require('node:fs')",
        "process.chdir(process.argv[1])",
        "const quiet = (act) => { try { act() } catch {} }",
        "for (;;) {",
        "  quiet(() => { fs.mkdirSync('tree/d', { recursive: true }); fs.chmodSync('tree/d', 0) })",
        "  quiet(() => fs.rmdirSync('tree/d'))",
        "  quiet(() => fs.symlinkSync('../outside', 'tree/d'))",
        "  quiet(() => fs.unlinkSync('tree/d'))",
        "}"
      ].join("\n")
      yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["-e", swap, root], { stdio: "ignore" })),
        (child) =>
          Effect.async<void>((resume) => {
            child.once("exit", () => resume(Effect.void))
            child.kill("SIGKILL")
          })
      )
      // It may find something new in its way each time; what it may never do is to touch the outside.
      for (let round = 0; round < 200; round++) yield* Effect.ignore(Directories.removeTree(tree))
      assert.strictEqual(mode(outside), "500")
      assert.deepStrictEqual(fs.readdirSync(outside), ["precious"])
    })
  )

  it.scoped("removes a symlink given as the root, and not its target", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      fs.mkdirSync(path.join(root, "target"))
      fs.symlinkSync(path.join(root, "target"), path.join(root, "link"))
      yield* Directories.removeTree(path.join(root, "link"))
      assert.deepStrictEqual(fs.readdirSync(root), ["target"])
    })
  )

  it.scoped("removes a tree that is deeper than a path can be long", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const tree = path.join(root, "tree")
      fs.mkdirSync(tree)
      execFileSync("perl", ["-e", 'for (1 .. 500) { mkdir("directory") && chdir("directory") or die }'], { cwd: tree })
      yield* Directories.removeTree(tree)
      assert.deepStrictEqual(fs.readdirSync(root), [])
    })
  )

  it.scoped.skipIf(process.getuid?.() !== 0)("T-142 removes nothing where something is mounted", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const tree = path.join(root, "tree")
      const outside = path.join(root, "outside")
      const mountPoint = path.join(tree, "a b")
      fs.mkdirSync(outside)
      fs.writeFileSync(path.join(outside, "precious"), "")
      fs.mkdirSync(mountPoint, { recursive: true })
      yield* Effect.acquireRelease(
        Effect.sync(() => execFileSync("mount", ["--bind", outside, mountPoint])),
        () => Effect.sync(() => execFileSync("umount", [mountPoint]))
      )
      const error = yield* Effect.flip(Directories.removeTree(tree))
      assert.include(error.message, "a b is a mount point")
      assert.deepStrictEqual(fs.readdirSync(outside), ["precious"])
    })
  )
})
