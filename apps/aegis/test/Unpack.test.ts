import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as tar from "tar-stream"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { pack } from "../src/copy/Pack.ts"
import { ArchiveRefused, unpack } from "../src/copy/Unpack.ts"

type Entry = Parameters<tar.Pack["entry"]>[0] & { readonly text?: string }

const file = (name: string, text: string, mode = 0o644): Entry => ({ name, text, mode })
const link = (name: string, linkname: string, type: "symlink" | "link" = "symlink"): Entry => ({ name, linkname, type })

/** The bytes of an archive, in pieces of an odd size. */
async function* archived(...entries: ReadonlyArray<Entry>): AsyncGenerator<Uint8Array> {
  const archive = tar.pack()
  for (const { text, ...header } of entries) archive.entry(header, text ?? "")
  archive.finalize()
  const pieces: Array<Uint8Array> = []
  for await (const piece of archive) if (piece instanceof Uint8Array) pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
}

describe("what a guest sends, unpacked on this machine", () => {
  let base: string
  let directory: string
  let outside: string
  beforeEach(() => {
    base = mkdtempSync(path.join(tmpdir(), "aegis-unpack-"))
    directory = path.join(base, "ws")
    // T-146: its name begins as the destination's does.
    outside = path.join(base, "ws-evil")
    mkdirSync(directory)
    mkdirSync(outside)
    writeFileSync(path.join(outside, "kept"), "kept")
  })
  afterEach(() => rmSync(base, { recursive: true, force: true }))
  const take = (...entries: ReadonlyArray<Entry>) => unpack(archived(...entries), { directory, name: "copy" })
  const refused = async (...entries: ReadonlyArray<Entry>) => {
    const failure = await take(...entries).then(
      () => undefined,
      (error: unknown) => error
    )
    assert.instanceOf(failure, Error)
    assert.deepStrictEqual(readdirSync(outside), ["kept"])
    assert.strictEqual(readFileSync(path.join(outside, "kept"), "utf8"), "kept")
    return failure
  }
  const read = (name: string) => readFileSync(path.join(directory, name), "utf8")

  it("a tree goes there and back: names, contents, symlinks, permissions without setuid", async () => {
    const long = "n".repeat(120)
    const result = await take(
      { name: "top/", type: "directory" },
      file("top/ä", "one", 0o4755),
      file(`top/${long}/deep/${long}`, "two"),
      link(`top/${long}/up`, "../ä"),
      file("top/empty", "")
    )
    assert.deepStrictEqual(result, { files: 4, bytes: 6, leftOut: [] })
    assert.strictEqual(read(`copy/${long}/up`), "one")
    assert.strictEqual(statSync(path.join(directory, "copy/ä")).mode & 0o7000, 0)
    assert.strictEqual(statSync(path.join(directory, "copy/ä")).mode & 0o100, 0o100)
    const again = await unpack(await pack(path.join(directory, "copy")), { directory, name: "second" })
    assert.deepStrictEqual(again, result)
    assert.strictEqual(read(`second/${long}/deep/${long}`), "two")
    assert.strictEqual(readlinkSync(path.join(directory, `second/${long}/up`)), "../ä")
  })

  it("T-143 names that lead elsewhere are refused", async () => {
    for (const name of ["../x", "/x", "a/../../x", "a/..", "..", "a//x", "a/./x", "x".repeat(5000)]) {
      assert.instanceOf(await refused(file(name, "x")), ArchiveRefused, name)
    }
    assert.instanceOf(await refused(), ArchiveRefused)
  })

  it("T-144 T-145 T-146 symlinks that lead out of the copy are left out, and nothing goes through one", async () => {
    const links = [
      link("top/abs", path.join(outside, "kept")),
      link("top/up", "../../ws-evil"),
      link("top/a/out", "../../x"),
      // `a/b` leads to the top, and from there upwards leads out, which the words alone do not show.
      link("top/a/b", ".."),
      link("top/a/c", "b/../x"),
      link("top", outside)
    ]
    const { files, leftOut } = await take(...links)
    assert.strictEqual(files, 1)
    assert.deepStrictEqual(leftOut, ["top/abs", "top/up", "top/a/out", "top/a/c", "top"])
    // One that stays inside leads nothing through it either.
    await refused(link("top/d", "e"), file("top/d/new", "x"))
    symlinkSync(outside, path.join(directory, "copy", "planted"))
    await refused(file("top/planted/new", "x"))
    await refused({ name: "top/planted/", type: "directory" })
  })

  it("T-147 a directory that somebody swaps for a symlink meanwhile leads nowhere", async () => {
    let over = false
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const swapping = async () => {
      const name = path.join(directory, "copy", "d")
      while (!over) {
        try {
          rmSync(name, { recursive: true, force: true })
          symlinkSync(outside, name)
          await turn()
          unlinkSync(name)
        } catch {
          // The other side was faster.
        }
        await turn()
      }
    }
    mkdirSync(path.join(directory, "copy"))
    const swapper = swapping()
    for (let round = 0; round < 300; round++) {
      await take(file("top/d/new", "x"), file("top/x", ""), file("top/d/other", "x")).catch(() => undefined)
    }
    over = true
    await swapper
    assert.deepStrictEqual(readdirSync(outside), ["kept"])
  })

  it("T-148 T-149 devices, FIFOs and hard links are left out; what is in the way is replaced and not written through", async () => {
    const { leftOut } = await take(
      { name: "top/fifo", type: "fifo" },
      { name: "top/null", type: "character-device", devmajor: 1, devminor: 3 },
      link("top/hard", path.join(outside, "kept"), "link"),
      link("top/hard2", "../ws-evil/kept", "link")
    )
    assert.deepStrictEqual(leftOut, ["top/fifo", "top/null", "top/hard", "top/hard2"])
    mkdirSync(path.join(directory, "copy"), { recursive: true })
    symlinkSync(path.join(outside, "kept"), path.join(directory, "copy", "f"))
    await take(file("top/f", "new"))
    assert.strictEqual(read("copy/f"), "new")
    assert.strictEqual(readFileSync(path.join(outside, "kept"), "utf8"), "kept")
    await take(file("top/F", "other"), file("top/f", "newer"))
    assert.strictEqual(read("copy/f"), "newer")
  })

  it("headers without end are refused before they fill the memory; bytes that are no archive, and one that breaks off, fail", async () => {
    const header = Buffer.alloc(512)
    header.write("PaxHeader\0", 0)
    header.write("0000644\0", 100)
    header.write("77777777777\0", 124)
    header.write("00000000000\0", 136)
    header.write("        x", 148)
    header.write("ustar\0", 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    let given = 0
    async function* endless() {
      yield header
      for (; given < 1e9; given += 65_536) yield Buffer.alloc(65_536, "1")
    }
    const failure = await unpack(endless(), { directory, name: "copy" }).catch((error: unknown) => error)
    assert.instanceOf(failure, Error)
    assert.isBelow(given, 4e6)
    async function* broken() {
      for await (const piece of archived(file("top/f", "x".repeat(5000)))) {
        yield piece
        throw new Error("cut off")
      }
    }
    assert.instanceOf(await unpack(broken(), { directory, name: "copy" }).catch((error: unknown) => error), Error)
  })
})
