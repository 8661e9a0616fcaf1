import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { writeKernel } from "../src/Kernel.ts"
import { elfHeader, kernelVersion, qemuKernel } from "../src/KernelImage.ts"

const load = 0x100_0000n
const entry = 0x100_0123n

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"))
const image = bytes("\0\0code...Linux version 6.12.91 (root@builder) (gcc 15)\0")

describe("KernelImage", () => {
  it("the header is an ELF64 executable with one segment and the PVH note, byte for byte", () => {
    const header = Buffer.from(elfHeader({ loadAddress: load, entryAddress: entry, size: 0x144_5000 }))
    assert.strictEqual(header.length, 4096)
    const words = [
      "7f454c46020101000000000000000000 02003e00010000002301000100000000",
      "40000000000000000000000000000000 00000000400038000200000000000000",
      // PT_LOAD, rwx, from 0x1000, to 0x1000000, 0x1445000 bytes, page-aligned
      "01000000070000000010000000000000 00000001000000000000000100000000",
      "00504401000000000050440100000000 0010000000000000",
      // PT_NOTE, r, 24 bytes at 0xb0
      "0400000004000000b000000000000000 00000000000000000000000000000000",
      "18000000000000001800000000000000 0400000000000000",
      // Xen, type 18, 0x1000000
      "040000000800000012000000 58656e00 0000000100000000"
    ]
    const expected = Buffer.from(words.join("").replaceAll(" ", ""), "hex")
    assert.strictEqual(header.subarray(0, expected.length).toString("hex"), expected.toString("hex"))
    assert.isTrue(header.subarray(expected.length).every((byte) => byte === 0))
  })

  it.effect("on x64 the kernel follows the header, on arm64 it stands alone", () =>
    Effect.gen(function* () {
      const kernel = { loadAddress: load, entryAddress: load, bytes: image }
      const x64 = yield* qemuKernel(kernel, "x64")
      assert.deepStrictEqual([x64.length, x64[0]?.length, x64[1]], [2, 4096, image])
      assert.deepStrictEqual(yield* qemuKernel(kernel, "arm64"), [image])
    })
  )

  it.effect("a kernel that cannot be entered is refused", () =>
    Effect.gen(function* () {
      for (const kernel of [
        { loadAddress: load, entryAddress: load, bytes: new Uint8Array(0) },
        { loadAddress: load, entryAddress: load - 1n, bytes: image },
        { loadAddress: load, entryAddress: load + BigInt(image.length), bytes: image },
        { loadAddress: 0xffff_ffffn, entryAddress: 0xffff_ffffn, bytes: image }
      ]) {
        assert.strictEqual((yield* Effect.flip(qemuKernel(kernel, "x64")))._tag, "KernelUnusable")
      }
    })
  )

  it.effect("the version is the banner's, also inside a longer buffer; without a banner it is an error", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* kernelVersion(image), "6.12.91")
      assert.strictEqual(yield* kernelVersion(image.subarray(5)), "6.12.91")
      for (const text of [
        "",
        "no banner",
        "Linux version ",
        "Linux version \x01 (x)",
        `Linux version ${"9".repeat(99)} (`
      ]) {
        assert.strictEqual((yield* Effect.flip(kernelVersion(bytes(text))))._tag, "KernelUnusable")
      }
    })
  )

  const bundle = {
    path: "/libkrunfw.so.5",
    address: 0n,
    kernel: Effect.succeed({ loadAddress: load, entryAddress: load, bytes: image })
  }
  const directory = Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "aegis-kernel-"))),
    (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
  )

  it.scoped("the kernel's file replaces an older one whole", () =>
    Effect.gen(function* () {
      const out = path.join(yield* directory, "vmlinux")
      fs.writeFileSync(out, "old")
      assert.deepStrictEqual(yield* writeKernel(bundle, out), { path: out, version: "6.12.91" })
      assert.deepStrictEqual(fs.readdirSync(path.dirname(out)), ["vmlinux"])
      const written = fs.readFileSync(out)
      assert.strictEqual(written.length, (process.arch === "arm64" ? 0 : 4096) + image.length)
      assert.deepStrictEqual(new Uint8Array(written.subarray(-image.length)), image)
    })
  )

  it.scoped("a failure leaves no file, and names the one that could not be written", () =>
    Effect.gen(function* () {
      const made = yield* directory
      const missing = yield* Effect.flip(writeKernel(bundle, path.join(made, "no", "vmlinux")))
      assert.strictEqual(missing._tag, "FileUnusable")
      assert.include(missing.message, path.join(made, "no", "vmlinux"))
      fs.mkdirSync(path.join(made, "vmlinux"))
      assert.strictEqual((yield* Effect.flip(writeKernel(bundle, path.join(made, "vmlinux"))))._tag, "FileUnusable")
      assert.deepStrictEqual(fs.readdirSync(made), ["vmlinux"])
    })
  )
})
