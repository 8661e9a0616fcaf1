import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { ExecBox } from "../product/ExecBox.ts"
import { inState } from "../product/Fleet.ts"

describe("aegis cp, against the real daemon and a real guest", () => {
  let box: ExecBox
  let here: string
  beforeAll(async () => {
    box = await ExecBox.make()
    here = mkdtempSync(path.join(tmpdir(), "aegis-cp-"))
  }, 600_000)
  afterAll(async () => {
    await box.remove()
    rmSync(here, { recursive: true, force: true })
  })
  const at = (name: string) => path.join(here, name)

  it("files and trees go into a guest that starts, and come back as they were", async () => {
    mkdirSync(at("src/deep"), { recursive: true })
    const bytes = randomBytes(3_000_000)
    writeFileSync(at("src/deep/large"), bytes)
    writeFileSync(at("src/ä b"), "text")
    assert.strictEqual(await box.aegis.says("cp", at("src"), "web:/tmp"), "")
    assert.strictEqual(await box.aegis.says("cp", "web:/tmp/src", at("back")), "")
    assert.isTrue(readFileSync(at("back/deep/large")).equals(bytes))
    assert.strictEqual(readFileSync(at("back/ä b"), "utf8"), "text")
    // A file under another name, and into a directory.
    await box.aegis.says("cp", at("src/ä b"), "WEB:/tmp/renamed")
    assert.strictEqual((await box.sh("cat /tmp/renamed; stat -c %U:%G /tmp/renamed")).stdout, "textroot:root\n")
    const told = JSON.parse(await box.aegis.says("cp", "--json", "web:/tmp/renamed", here))
    assert.deepStrictEqual(told, { files: 1, bytes: 4, left_out: [] })
    assert.strictEqual(readFileSync(at("renamed"), "utf8"), "text")
  })

  it("- is a tar archive on standard output, and on standard input", async () => {
    const piped = await box.sh("mkdir /tmp/to && cd /tmp && tar c src 2>/dev/null | wc -c")
    assert.strictEqual(piped.code, 0, piped.stderr)
    const aegis = JSON.stringify(path.resolve("dist/aegis"))
    const script = `${aegis} cp web:/tmp/src - | ${aegis} cp - web:/tmp/to && ${aegis} cp web:/tmp/to/src - | tar t`
    const done = spawnSync("sh", ["-c", script], { env: { ...process.env, ...box.aegis.env }, encoding: "utf8" })
    assert.strictEqual(done.stderr, "")
    assert.include(done.stdout, "src/deep/large\n")
  })

  it("T-144 T-145 what a guest plants leads nowhere on this machine", async () => {
    writeFileSync(path.join(box.aegis.home, "secret"), "host")
    await box.sh(
      `mkdir /tmp/evil; ln -s ${box.aegis.home}/secret /tmp/evil/x; ln -s /etc /tmp/evil/d; ln -s x /tmp/evil/y; mkfifo /tmp/evil/f`
    )
    const copied = await box.aegis.run(["cp", "web:/tmp/evil", here])
    assert.strictEqual(copied.code, 0)
    assert.deepStrictEqual(readdirSync(at("evil")), ["y"])
    assert.strictEqual(readlinkSync(at("evil/y")), "x")
    assert.include(copied.stderr, "evil/d\n")
    assert.include(copied.stderr, "evil/x\n")
    // The guest's path is the guest's: its symlink leads to what the guest has there, which is nothing.
    const followed = await box.aegis.run(["cp", "web:/tmp/evil/x", at("stolen")])
    assert.deepStrictEqual([followed.code, existsSync(at("stolen"))], [1, false])
    assert.include(followed.stderr, "no such file or directory")
  })

  it("what cannot be copied is told, with what to do", async () => {
    const fails = async (code: number, words: string, ...args: ReadonlyArray<string>) => {
      const done = await box.aegis.run(["cp", ...args])
      assert.strictEqual(done.code, code, done.stderr)
      assert.include(done.stderr, words)
      assert.include(done.stderr, "try: ")
    }
    await fails(2, "one of FROM and TO must be in an instance", at("a"), at("b"))
    await fails(2, "begins with /", at("src"), "web:relative")
    await fails(1, "ENOENT: no such file or directory", at("none"), "web:/tmp")
    await fails(1, "/tmp/none: no such file or directory", "web:/tmp/none", here)
    await fails(1, "no such file or directory", at("src"), "web:/none/none")
    await fails(1, "no regular file", "web:/dev/null", here)
    await fails(1, "not found", at("src"), "nobody:/tmp")
  })

  it("one that is paused is resumed, one that is stopped is refused", async () => {
    await box.aegis.says("instance", "pause", "web")
    assert.strictEqual(await box.aegis.says("cp", at("src"), "web:/tmp/again"), "")
    await inState(box.aegis, "web", "running")
    await box.aegis.run(["instance", "stop", "web", "--timeout", "0"])
    const refused = await box.aegis.run(["cp", at("src"), "web:/tmp"])
    assert.deepStrictEqual([refused.code, refused.stderr.includes('instance "web" is stopped')], [1, true])
  })
})
