import { spawnSync } from "node:child_process"
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { dist, Product, start } from "../product/Product.ts"

describe("the harness's files, in a product that somebody has been at", () => {
  it("T-244 a harness for another machine, cut off or missing is said before anything boots", async () => {
    const copy = mkdtempSync(path.join(tmpdir(), "aegis-dist-"))
    spawnSync("cp", ["-as", `${dist}/.`, copy])
    const disk = path.join(copy, "guest/harness.ext4")
    const other = await Product.make({ AEGIS_BOOT_TIMEOUT: "20" })
    // The programs find the product beside themselves, wherever a link to them stands.
    for (const name of ["aegis", "aegisd"]) {
      rmSync(path.join(copy, name))
      copyFileSync(path.join(dist, name), path.join(copy, name))
    }
    const aegis = (...args: ReadonlyArray<string>) => start(path.join(copy, "aegis"), args, { env: other.env }).ended
    const image = readFileSync(path.join(dist, "guest/harness.ext4"))
    const foreign = Buffer.from(image)
    const [own, code] = process.arch === "arm64" ? [183, 62] : [62, 183]
    const program = foreign.indexOf(Buffer.from("7f454c46", "hex"))
    assert.strictEqual(foreign.readUInt16LE(program + 18), own)
    foreign.writeUInt16LE(code, program + 18)
    for (const [bytes, words] of [
      [foreign, "is made for "],
      [image.subarray(0, image.length / 2), "is cut off"],
      [undefined, "is missing"]
    ] as const) {
      rmSync(disk)
      if (bytes !== undefined) writeFileSync(disk, bytes)
      assert.strictEqual((await aegis("up")).code, 0)
      const ran = await aegis("run", "--memory", "64", "--", "true")
      assert.deepStrictEqual([ran.code, ran.stdout], [125, ""], ran.stderr)
      assert.include(ran.stderr, `${disk} ${words}`)
      assert.include(ran.stderr, "try: build or install aegis anew")
      assert.deepStrictEqual(await other.left(), [])
      await aegis("down")
    }
    await other.remove()
    rmSync(copy, { recursive: true })
  })
})
