import { type VaultUnavailable } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { inspect } from "node:util"
import { Vault } from "../src/index.ts"
import { filesOf, type Home, home, names, secret, set, values } from "./home.ts"

const modeOf = (file: string) => fs.statSync(file).mode & 0o777

const isRoot = process.getuid?.() === 0

/** What a vault in a state that is not its own answers; whatever it is asked, no file is changed. */
const refusals = (home: Home) =>
  Effect.gen(function* () {
    const before = filesOf(home.path)
    const errors = yield* home.run(
      Effect.all([
        Effect.flip(set(secret("NEW", "v"))),
        Effect.flip(values),
        Effect.flip(Effect.flatMap(Vault, (vault) => vault.rotateKey))
      ])
    )
    assert.deepStrictEqual(filesOf(home.path), before)
    return errors.map((error) => {
      assert.strictEqual(error._tag, "VaultUnavailable")
      return error as VaultUnavailable
    })
  })

describe("Vault", () => {
  it.scopedLive("S-171 S-176 S-177 S-180 set, list in order, replace, delete; the next daemon finds the same", () =>
    Effect.gen(function* () {
      const { run } = yield* home
      assert.deepStrictEqual(yield* run(names), [])
      const [first] = yield* run(set(secret("B", "one"), secret("A", "two")))
      assert.deepStrictEqual([first?.name, first?.version], ["B", 1])
      const [again] = yield* run(set(secret("B", "three\n")))
      assert.deepStrictEqual([again?.name, again?.version], ["B", 2])
      assert.deepStrictEqual(yield* run(names), ["A", "B"])
      assert.deepStrictEqual(yield* run(values), { A: "two", B: "three\n" })
      yield* run(Effect.flatMap(Vault, (vault) => vault.remove("A")))
      assert.deepStrictEqual(yield* run(values), { B: "three\n" })
      const unknown = yield* run(Effect.flip(Effect.flatMap(Vault, (vault) => vault.remove("A"))))
      assert.deepInclude(unknown, { _tag: "SecretUnknown", name: "A", message: 'secret "A" not found' })
    })
  )

  it.scopedLive(
    "S-172 T-116 T-126 key and vault are 0600; no file holds a value, replaced and deleted ones neither",
    () =>
      Effect.gen(function* () {
        const { key, path: directory, run, vault } = yield* home
        const olds: Array<string> = []
        yield* run(set(secret("A", "planted-one"), secret("B", "planted-two")))
        assert.deepStrictEqual([modeOf(key), modeOf(vault), fs.statSync(key).size], [0o600, 0o600, 32])
        const steps = [
          Effect.asVoid(set(secret("A", "planted-three"))),
          Effect.flatMap(Vault, (service) => service.remove("B"))
        ] as const
        for (const [index, step] of steps.entries()) {
          const stored = JSON.parse(fs.readFileSync(vault, "utf8")) as { secrets: ReadonlyArray<{ sealed: string }> }
          olds.push(stored.secrets[index]?.sealed ?? "")
          yield* run<void, unknown>(step)
        }
        for (const [file, bytes] of filesOf(directory)) {
          for (const text of ["planted", Buffer.from("planted").toString("base64").slice(0, 8)]) {
            assert.isFalse(bytes.includes(text), `${file} holds ${text}`)
          }
          for (const sealed of olds) assert.isFalse(bytes.includes(sealed), `${file} holds a former ciphertext`)
        }
        assert.sameMembers([...filesOf(directory).keys()], ["master.key", "data/vault.json"])
      })
  )

  it.scopedLive(
    "T-114 a key file that is none, or that others can use, is refused and kept; what needs no key goes on",
    () =>
      Effect.gen(function* () {
        const made = yield* home
        const { key, run } = made
        yield* run(set(secret("A", "v")))
        const good = fs.readFileSync(key)
        const put = (bytes: Uint8Array, mode = 0o600) => {
          fs.rmSync(key, { recursive: true, force: true })
          fs.writeFileSync(key, bytes, { mode })
          fs.chmodSync(key, mode)
        }
        const states: ReadonlyArray<readonly [string, RegExp, () => void]> = [
          ["0 bytes", /has 0 bytes/, () => put(Buffer.alloc(0))],
          ["31 bytes", /has 31 bytes/, () => put(good.subarray(1))],
          ["33 bytes", /has 33 bytes/, () => put(Buffer.concat([good, Buffer.alloc(1)]))],
          ["64 hexadecimal digits", /has 64 bytes/, () => put(Buffer.from(good.toString("hex")))],
          ["mode 644", /mode 644/, () => put(good, 0o644)],
          ["mode 640", /mode 640/, () => put(good, 0o640)],
          [
            "a directory",
            /regular file/,
            () => {
              fs.rmSync(key)
              fs.mkdirSync(key, { mode: 0o700 })
            }
          ],
          [
            "a FIFO",
            /regular file/,
            () => {
              fs.rmdirSync(key)
              execFileSync("mkfifo", ["-m", "600", key])
            }
          ],
          [
            "a symbolic link",
            /symbolic link/,
            () => {
              put(good)
              fs.renameSync(key, `${key}.real`)
              fs.symlinkSync(`${key}.real`, key)
            }
          ],
          ...(isRoot
            ? [
                [
                  "another user's",
                  /belongs to user 1/,
                  () => {
                    put(good)
                    fs.chownSync(key, 1, 1)
                  }
                ] as const
              ]
            : [["unreadable", /cannot be read/, () => put(good, 0o000)] as const])
        ]
        for (const [what, reason, arrange] of states) {
          arrange()
          for (const error of what === "unreadable" ? [] : yield* refusals(made)) {
            assert.match(error.reason, reason, what)
            assert.strictEqual(error.path, key)
            assert.isAbove(error.remedy.length, 10)
          }
          assert.deepStrictEqual(yield* run(names), ["A"], what)
        }
        put(good)
        assert.deepStrictEqual(yield* run(values), { A: "v" })
      })
  )

  it.scopedLive("T-115 T-128 a key that is missing or another's is never replaced while there are secrets", () =>
    Effect.gen(function* () {
      const made = yield* home
      const { key, run } = made
      yield* run(set(secret("A", "v"), secret("B", "w")))
      const good = fs.readFileSync(key)
      fs.rmSync(key)
      for (const error of yield* refusals(made)) assert.match(error.reason, /the key is missing, and 2 secrets with it/)
      assert.isFalse(fs.existsSync(key))
      fs.writeFileSync(key, Buffer.alloc(32, 7), { mode: 0o600 })
      for (const error of yield* refusals(made)) assert.match(error.reason, /not the key of the 2 secrets/)
      fs.rmSync(key)
      // Deleting needs no key, and a vault without secrets gets a new one.
      for (const name of ["A", "B"]) yield* run(Effect.flatMap(Vault, (vault) => vault.remove(name)))
      yield* run(set(secret("A", "new")))
      assert.deepStrictEqual(yield* run(values), { A: "new" })
      assert.notDeepEqual(fs.readFileSync(key), good)
    })
  )

  it.scopedLive("T-116 of daemons that make the key at the same time one wins, and every value can be read", () =>
    Effect.gen(function* () {
      const { key, path: directory, run } = yield* home
      fs.rmSync(key, { force: true })
      yield* Effect.all(
        ["A", "B", "C", "D"].map((name) => Effect.exit(run(set(secret(name, name))))),
        { concurrency: "unbounded" }
      )
      const found = yield* run(values)
      for (const [name, value] of Object.entries(found)) assert.strictEqual(value, name)
      assert.isAtLeast(Object.keys(found).length, 1)
      assert.sameMembers([...filesOf(directory).keys()], ["master.key", "data/vault.json"])
    })
  )

  it.scopedLive(
    "T-118 T-119 T-127 what no variable can be is refused by name, and nothing is stored; no message tells a value",
    () =>
      Effect.gen(function* () {
        const { path: directory, run } = yield* home
        for (const name of [
          "",
          "A=B",
          "A\0B",
          "x".repeat(300),
          "../x",
          "1A",
          "A-B",
          "AEGIS_VSOCK_PORT",
          "__proto__",
          "ä"
        ]) {
          assert.throws(() => secret(name, "v"))
        }
        for (const name of ["PATH", "LD_PRELOAD", "_", "a1"]) secret(name, "v")
        for (const value of ["", "planted\0", `planted${"x".repeat(65_536)}`, "planted\ud800"]) {
          const exit = yield* Effect.exit(run(set(secret("OK", "fine"), secret("BAD", value))))
          if (!Exit.isFailure(exit)) throw new Error("it was taken")
          for (const text of [Cause.pretty(exit.cause), inspect(exit, { depth: 9 }), JSON.stringify(exit)]) {
            assert.notInclude(text, "planted")
          }
          assert.include(Cause.pretty(exit.cause), "secret BAD")
        }
        assert.strictEqual(filesOf(directory).size, 0)
        const whole = secret("A", "planted")
        for (const text of [inspect(whole, { depth: 9 }), JSON.stringify(whole), String(whole.value)]) {
          assert.notInclude(text, "planted")
        }
      })
  )

  it.scopedLive("T-120 T-124 one that was damaged is named, and fails a request for all; the others can be used", () =>
    Effect.gen(function* () {
      const { run, vault } = yield* home
      yield* run(set(secret("A", "one"), secret("B", "two"), secret("C", "three")))
      const stored = JSON.parse(fs.readFileSync(vault, "utf8"))
      // T-121: the value of A under the name of B.
      stored.secrets[1].sealed = stored.secrets[0].sealed
      stored.secrets[2].sealed = "no base64!"
      fs.writeFileSync(vault, JSON.stringify(stored))
      const reveal = (name: string) =>
        Effect.flatMap(Vault, (service) =>
          service.reveal([{ _tag: "Named", name: secret(name, "").name, variable: name }], new Set())
        )
      assert.lengthOf(yield* run(reveal("A")), 1)
      for (const name of ["B", "C"]) {
        assert.deepInclude(yield* run(Effect.flip(reveal(name))), { _tag: "VaultCorrupt", name })
      }
      assert.deepInclude(yield* run(Effect.flip(values)), { _tag: "VaultCorrupt", name: "B" })
      const rotated = yield* run(Effect.flip(Effect.flatMap(Vault, (service) => service.rotateKey)))
      assert.strictEqual(rotated._tag, "VaultCorrupt")
      yield* run(set(secret("B", "again"), secret("C", "again")))
      assert.deepStrictEqual(yield* run(values), { A: "one", B: "again", C: "again" })
    })
  )

  it.scopedLive("T-122 a vault of another format, cut, or garbage: typed, and not a byte changed", () =>
    Effect.gen(function* () {
      const made = yield* home
      yield* made.run(set(secret("A", "v")))
      const whole = fs.readFileSync(made.vault, "utf8")
      for (const text of [whole.replace('"format":1', '"format":2'), whole.slice(0, -9), "", "\0", "{}", "[]"]) {
        fs.writeFileSync(made.vault, text)
        for (const error of yield* refusals(made)) {
          assert.strictEqual(error.path, made.vault)
          assert.match(error.reason, text.includes('"format":2') ? /has the format 2/ : /not a vault/)
          assert.notInclude(error.message, "sealed")
        }
      }
      fs.rmSync(made.vault)
      fs.symlinkSync("/etc/passwd", made.vault)
      for (const error of yield* refusals(made)) assert.match(error.reason, /ELOOP/)
    })
  )

  it.scopedLive("S-077 S-078 names, renames and all: what is unknown is refused, and what is set elsewhere wins", () =>
    Effect.gen(function* () {
      const { run } = yield* home
      yield* run(set(secret("A", "a"), secret("B", "b"), secret("C", "c")))
      const named = (name: string, variable = name) =>
        ({ _tag: "Named", name: secret(name, "").name, variable }) as const
      const all = { _tag: "All" } as const
      const shown = (
        requests: ReadonlyArray<typeof all | ReturnType<typeof named>>,
        taken: ReadonlyArray<string> = []
      ) =>
        run(
          Effect.flatMap(Vault, (vault) =>
            Effect.map(vault.reveal(requests, new Set(taken)), (found) =>
              found.map(({ name, variable }) => `${variable}=${name}`).join(" ")
            )
          )
        )
      assert.strictEqual(yield* shown([]), "")
      assert.strictEqual(yield* shown([named("B"), named("B")]), "B=B")
      assert.strictEqual(yield* shown([all]), "A=A B=B C=C")
      assert.strictEqual(yield* shown([named("A"), all]), "A=A B=B C=C")
      assert.strictEqual(yield* shown([all, named("A", "X")]), "A=A B=B C=C X=A")
      assert.strictEqual(yield* shown([all, named("A", "B")]), "A=A B=A C=C")
      assert.strictEqual(yield* shown([all], ["B"]), "A=A C=C")
      assert.strictEqual(yield* shown([named("A", "X")], ["X"]), "")
      const unknown = yield* Effect.flip(shown([named("NO")], ["NO"]))
      assert.deepInclude(unknown, { _tag: "SecretUnknown", name: "NO" })
      const both = yield* Effect.flip(shown([named("A", "X"), named("B", "X")]))
      assert.strictEqual(both._tag, "InvalidArgument")
    })
  )

  it.scopedLive("T-129 a rotation leaves every value and no trace of the old key", () =>
    Effect.gen(function* () {
      const { key, path: directory, run } = yield* home
      yield* run(set(secret("A", "one"), secret("B", "two")))
      const old = fs.readFileSync(key)
      assert.strictEqual(yield* run(Effect.flatMap(Vault, (vault) => vault.rotateKey)), 2)
      assert.notDeepEqual(fs.readFileSync(key), old)
      assert.deepStrictEqual(yield* run(values), { A: "one", B: "two" })
      for (const [file, bytes] of filesOf(directory)) assert.isFalse(bytes.includes(old), file)
      assert.sameMembers([...filesOf(directory).keys()], ["master.key", "data/vault.json"])
    })
  )

  it("T-132 on a full disk the old values stay, and the answer is DiskFull", (context) => {
    const script = path.join(import.meta.dirname, "full.ts")
    const mounted = 'mount -t tmpfs -o size=64k,mode=700 tmpfs "$1" && exec "$2" --import tsx "$3" "$1"'
    const directory = fs.mkdtempSync("/tmp/aegis-vault-")
    try {
      execFileSync("unshare", ["-rm", "true"])
    } catch {
      return context.skip()
    }
    const said = execFileSync("unshare", ["-rm", "sh", "-c", mounted, "sh", directory, process.execPath, script], {
      encoding: "utf8"
    })
    assert.strictEqual(said, "DiskFull\nkept\n")
  }, 60_000)
})
