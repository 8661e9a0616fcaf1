import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import { harnessDisk, harnessProgram } from "../src/index.ts"

const directory = mkdtempSync(path.join(tmpdir(), "aegis-harness-file-"))
afterAll(() => rmSync(directory, { recursive: true }))
let files = 0
const written = (bytes: Uint8Array) => {
  const file = path.join(directory, String(files++))
  writeFileSync(file, bytes)
  return file
}

const own = process.arch === "arm64" ? 183 : 62
const [ownName, otherName] = process.arch === "arm64" ? ["aarch64", "x86_64"] : ["x86_64", "aarch64"]

/** The least that is a program of 8 KiB: a header, and one segment that is all of it. */
const program = (machine = own) => {
  const bytes = Buffer.alloc(8192)
  bytes.write("7f454c46020101", "hex")
  bytes.writeUInt16LE(machine, 18)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(1, 56)
  bytes.writeBigUInt64LE(8192n, 64 + 32)
  return bytes
}

/** A disk of 1 MiB whose first blocks are ext4's, with a program in a block behind them. */
const disk = (machine?: number) => {
  const bytes = Buffer.alloc(1 << 20)
  bytes.writeUInt16LE(0xef53, 1024 + 56)
  bytes.writeUInt32LE(256, 1024 + 4)
  bytes.writeUInt32LE(2, 1024 + 24)
  if (machine !== undefined) program(machine).copy(bytes, 40 * 4096)
  return bytes
}

const refusal = (effect: ReturnType<typeof harnessProgram>) =>
  Effect.map(Effect.flip(effect), ({ backend, reason, remedy }) => {
    assert.strictEqual(backend, "qemu")
    assert.strictEqual(remedy, "build or install aegis anew: npm run build")
    return reason.replace(/^\S+ /, "")
  })

describe("the harness's files", () => {
  it.effect("T-244 what is ours and for this machine is taken", () =>
    Effect.gen(function* () {
      const good = written(program())
      assert.strictEqual(yield* harnessProgram("qemu", good), good)
      const image = written(disk(own))
      assert.strictEqual(yield* harnessDisk("qemu", image), image)
      // Node's own program is one of this machine's, and whole.
      assert.strictEqual(yield* harnessProgram("qemu", process.execPath), process.execPath)
    })
  )

  it.effect("T-244 what is missing, made for another machine, cut off or no harness at all is said before a boot", () =>
    Effect.gen(function* () {
      const absent = path.join(directory, "absent")
      const dangling = path.join(directory, "dangling")
      symlinkSync(absent, dangling)
      const folder = path.join(directory, "folder")
      mkdirSync(folder)
      const fifo = path.join(directory, "fifo")
      execFileSync("mkfifo", [fifo])
      const other = own === 62 ? 183 : 62
      const foreign = `is made for ${otherName}, and this one is ${ownName}`
      const narrow = program()
      narrow[4] = 1
      const cases = [
        [harnessProgram, absent, "is missing"],
        [harnessProgram, dangling, "is missing"],
        [harnessProgram, folder, "is no file"],
        [harnessProgram, fifo, "is no file"],
        [harnessProgram, written(Buffer.alloc(0)), "is no program"],
        [harnessProgram, written(Buffer.from("#!/bin/sh\necho owned\n".padEnd(100, "#"))), "is no program"],
        [harnessProgram, written(program().subarray(0, 60)), "is no program"],
        [harnessProgram, written(program().subarray(0, 100)), "is cut off"],
        [harnessProgram, written(program().subarray(0, 8191)), "is cut off"],
        [harnessProgram, written(program(other)), foreign],
        [harnessProgram, written(program(243)), `is made for another machine, and this one is ${ownName}`],
        [harnessProgram, written(narrow), `is made for ${ownName}, and this one is ${ownName}`],
        [harnessDisk, absent, "is missing"],
        [harnessDisk, folder, "is no file"],
        [harnessDisk, fifo, "is no file"],
        [harnessDisk, written(program()), "is no ext4 image"],
        [harnessDisk, written(Buffer.alloc(1500)), "is no ext4 image"],
        [harnessDisk, written(disk(own).subarray(0, 1_000_000)), "is cut off"],
        [harnessDisk, written(disk()), "holds no harness"],
        [harnessDisk, written(disk(other)), foreign]
      ] as const
      for (const [check, file, reason] of cases) assert.strictEqual(yield* refusal(check("qemu", file)), reason, file)
    })
  )

  it.effect("T-244 a table of segments that is nonsense is no reason to fail otherwise", () =>
    Effect.gen(function* () {
      for (const spoil of [
        (bytes: Buffer) => bytes.writeBigUInt64LE(2n ** 52n, 32),
        (bytes: Buffer) => bytes.writeUInt16LE(3, 54),
        (bytes: Buffer) => bytes.writeUInt16LE(0, 56),
        (bytes: Buffer) => bytes.writeUInt16LE(65_535, 56),
        (bytes: Buffer) => bytes.writeBigUInt64LE(2n ** 64n - 1n, 64 + 32)
      ]) {
        const bytes = program()
        spoil(bytes)
        assert.strictEqual(yield* refusal(harnessProgram("qemu", written(bytes))), "is cut off")
      }
    })
  )
})
