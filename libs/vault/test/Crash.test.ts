import { assert, describe, it } from "@effect/vitest"
import { buildSync } from "esbuild"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { filesOf } from "./home.ts"

const directory = fs.mkdtempSync(path.join(tmpdir(), "aegis-vault-crash-"))
const program = path.join(directory, "crash.cjs")
buildSync({
  ...{ entryPoints: [path.join(import.meta.dirname, "crash.main.ts")], outfile: program },
  ...{ bundle: true, platform: "node", format: "cjs", target: "node20", logLevel: "error" }
})

const run = (home: string, args: ReadonlyArray<string>, crashAt?: number) => {
  const { signal, stderr, stdout } = spawnSync(process.execPath, [program, home, ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], ...(crashAt === undefined ? {} : { AEGIS_CRASH_AT: String(crashAt) }) }
  })
  const point = /crash point \d+: ([^"\n]+)/.exec(stderr)?.[1]
  return { killed: signal === "SIGKILL", point, stdout, stderr }
}

const newHome = () => {
  const home = fs.mkdtempSync(path.join(directory, "home-"))
  fs.mkdirSync(path.join(home, "data"), { mode: 0o700 })
  return home
}

const looked = (home: string): unknown => {
  const { stderr, stdout } = run(home, ["look"])
  assert.notStrictEqual(stdout, "", stderr)
  return JSON.parse(stdout)
}

/** Dies at each crash point of the work in turn; gives the points. */
const eachPoint = (
  prepare: (home: string) => void,
  work: ReadonlyArray<string>,
  check: (home: string, point: string) => void
) => {
  const points: Array<string> = []
  for (let n = 1; ; n++) {
    const home = newHome()
    prepare(home)
    const { killed, point = "", stderr } = run(home, work, n)
    if (!killed) {
      assert.strictEqual(stderr, "")
      return points
    }
    points.push(point)
    check(home, point)
    fs.rmSync(home, { recursive: true })
  }
}

const whole = ["master.key", "data/vault.json"]

describe("a vault whose daemon dies", () => {
  it("T-117 T-251 at each step of the first key and the first secret: no key or a whole one, and the next set works", () => {
    const points = eachPoint(
      () => undefined,
      ["set", "A", "one"],
      (home, point) => {
        const key = path.join(home, "master.key")
        if (fs.existsSync(key)) assert.strictEqual(fs.statSync(key).size, 32, point)
        assert.deepStrictEqual(looked(home), point === "the secrets are stored" ? { A: "one" } : {}, point)
        assert.strictEqual(run(home, ["set", "A", "two"]).stdout, '{"A":"two"}\n', point)
        assert.sameMembers([...filesOf(home).keys()], whole, point)
        assert.strictEqual(fs.statSync(key).nlink, 1, point)
      }
    )
    assert.deepStrictEqual(points, [
      "there is no key yet",
      "a new file is whole under another name",
      "a new file has its name",
      "the first key is there",
      "the secrets are stored"
    ])
  }, 120_000)

  it("T-129 at each step of a rotation: every value there, under the old key or the new one, and nothing of the other", () => {
    const before = new Map<string, Buffer>()
    const points = eachPoint(
      (home) => {
        run(home, ["set", "A", "one"])
        run(home, ["set", "B", "two"])
        before.set(home, fs.readFileSync(path.join(home, "master.key")))
      },
      ["rotate"],
      (home, point) => {
        assert.deepStrictEqual(looked(home), { A: "one", B: "two" }, point)
        const old = before.get(home) ?? Buffer.alloc(0)
        const rotated = ["the secrets are encrypted anew", "the next key is the key"].includes(point)
        assert.strictEqual(fs.readFileSync(path.join(home, "master.key")).equals(old), !rotated, point)
        assert.sameMembers([...filesOf(home).keys()], whole, point)
        // It can be done again.
        assert.strictEqual(run(home, ["rotate"]).stdout, '{"A":"one","B":"two"}\n', point)
        for (const [file, bytes] of filesOf(home)) assert.isFalse(bytes.includes(old), `${file}, ${point}`)
      }
    )
    assert.deepStrictEqual(points, [
      "the key is to be rotated",
      "the next key is there",
      "the secrets are encrypted anew",
      "the next key is the key"
    ])
    fs.rmSync(directory, { recursive: true, force: true })
  }, 120_000)
})
