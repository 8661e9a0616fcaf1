import { AegisPaths } from "@aegis/host"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { createHash } from "node:crypto"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { BaseRootfs, images } from "../src/index.ts"
import { assembleDebianPython, type Progress } from "../src/DebianPython.ts"
import { mirrorLines } from "../src/DebianMirrors.ts"
import { explain } from "../src/DebstrapLog.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-images-"))),
  (directory) => Effect.sync(() => execFileSync("rm", ["-rf", directory]))
)

/** A product whose aegis-mkroot keeps the archive as it is, and a scripted mmdebstrap. */
const machine = (debstrap: string, mkroot = 'archive=$(cat); printf %s "$archive" > "$1"') =>
  Effect.map(temporary, (root) => {
    const program = (name: string, script: string) => {
      fs.writeFileSync(path.join(root, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
      return path.join(root, name)
    }
    program("aegis-mkroot", mkroot)
    fs.mkdirSync(path.join(root, "out"))
    const told: Array<Progress> = []
    return {
      root,
      told,
      mmdebstrap: program("mmdebstrap", debstrap),
      product: root,
      disk: path.join(root, "out", "disk"),
      report: (progress: Progress) => void told.push(progress),
      left: () => fs.readdirSync(path.join(root, "out"))
    }
  })

const works = `
echo "$@" > "$(dirname "$0")/argv"; env > "$(dirname "$0")/env"
mkdir "$TMPDIR/chroot"
for step in "running apt-get update..." "extracting archives..." "creating tarball..."; do echo "I: $step" >&2; done
printf archive`

describe("assembleDebianPython", () => {
  it.scopedLive("pipes the archive into aegis-mkroot, reports each step, leaves nothing but the disk", () =>
    Effect.gen(function* () {
      const on = yield* machine(works)
      assert.include(yield* assembleDebianPython(on), "debian:bookworm")
      assert.strictEqual(fs.readFileSync(on.disk, "utf8"), "archive")
      assert.deepStrictEqual(
        on.told.map(({ detail, phase }) => detail ?? phase),
        ["running apt-get update...", "extracting archives...", "creating tarball...", "disk"]
      )
      const fractions = on.told.map(({ fraction }) => fraction ?? 0)
      assert.deepStrictEqual(fractions, [...fractions].sort())
      assert.include(fs.readFileSync(path.join(on.root, "argv"), "utf8"), "python-is-python3")
      const environment = fs.readFileSync(path.join(on.root, "env"), "utf8")
      assert.isFalse(fs.existsSync(/^TMPDIR=(.*)$/m.exec(environment)?.[1] ?? "/"))
    })
  )

  it.scopedLive("a failure ends with mmdebstrap's words and a remedy, and makes no disk", () =>
    Effect.gen(function* () {
      const on = yield* machine(
        'printf half; echo "E: apt-get update failed: Could not resolve deb.debian.org" >&2; exit 1'
      )
      const error = yield* Effect.flip(assembleDebianPython(on))
      assert.include(error.message, "Could not resolve")
      assert.include(error.remedy, "network")
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("a failure of aegis-mkroot is told as that, not as mmdebstrap's broken pipe", () =>
    Effect.gen(function* () {
      const on = yield* machine(
        "cat /dev/zero",
        'echo "{\\"code\\":\\"no-space\\",\\"message\\":\\"no space\\"}" >&2; exit 1'
      )
      const error = yield* Effect.flip(assembleDebianPython(on))
      assert.include(error.message, "aegis-mkroot failed: no space")
      assert.deepStrictEqual(on.left(), [])
    })
  )

  it.scopedLive("without mmdebstrap the package is named", () =>
    Effect.gen(function* () {
      const on = yield* machine(works)
      const error = yield* Effect.flip(assembleDebianPython({ ...on, mmdebstrap: "/no/mmdebstrap" }))
      assert.include(error.remedy, "apt-get install mmdebstrap")
    })
  )

  it.scopedLive("an interruption ends the programs and leaves no file", () =>
    Effect.gen(function* () {
      // Root's is killed with all that it has started; a plain user's mmdebstrap ends what it has started itself.
      const child = process.getuid?.() === 0 ? "sleep 60 &" : ""
      const on = yield* machine(
        `cd "$(dirname "$0")"; exec 9>lock; flock 9; mkdir "$TMPDIR/chroot"; ${child}
         printf half; touch begun; exec sleep 60`
      )
      const at = (name: string) => path.join(on.root, name)
      const soon = <A>(check: () => A) => Effect.retry(Effect.try(check), Schedule.spaced("5 millis"))
      const fiber = yield* Effect.fork(assembleDebianPython(on))
      yield* soon(() => fs.accessSync(at("begun")))
      yield* Fiber.interrupt(fiber)
      // Who holds the lock is alive: nobody is, soon.
      yield* soon(() => execFileSync("flock", ["-n", at("lock"), "true"])).pipe(Effect.timeout("5 seconds"))
      assert.deepStrictEqual(on.left(), [])
    })
  )
})

describe("BaseRootfs", () => {
  const home = (directory: string, product: string) =>
    images.pipe(
      Layer.provide(AegisPaths.layer(product)),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", directory]]))))
    )

  it.scopedLive("S-038 a present one is never made again; an absent one is RootfsUnavailable with a remedy", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const place = path.join(directory, "base-rootfs")
      yield* Effect.gen(function* () {
        const rootfs = yield* BaseRootfs
        const absent = yield* Effect.flip(rootfs.current)
        assert.strictEqual(absent._tag, "RootfsUnavailable")
        assert.include(absent.remedy, "aegis up")
        fs.mkdirSync(place)
        const digest = `sha256:${createHash("sha256").update("disk").digest("hex")}`
        const record = {
          variant: "debian-python",
          source: "s",
          digest,
          bytes: 4,
          createdAt: "2026-01-01T00:00:00.000Z"
        }
        fs.writeFileSync(path.join(place, "rootfs.json"), JSON.stringify(record))
        assert.strictEqual((yield* Effect.flip(rootfs.current))._tag, "RootfsUnavailable")
        fs.writeFileSync(path.join(place, "rootfs.ext4"), "disk")
        const steps: Array<object> = []
        // There is no aegis-mkroot at all in this product: nothing is made.
        const found = yield* rootfs.ensure((step) => void steps.push(step))
        assert.strictEqual(found.record.digest, digest)
        assert.deepStrictEqual(steps, [])
        assert.strictEqual((yield* rootfs.current).path, path.join(place, "rootfs.ext4"))
        fs.writeFileSync(path.join(place, "rootfs.json"), "{")
        assert.strictEqual((yield* Effect.flip(rootfs.current))._tag, "RootfsUnavailable")
      }).pipe(Effect.provide(home(directory, "/nowhere")))
    })
  )
})

describe("debianMirrors", () => {
  it("takes the machine's own mirrors of the suite, each once", () => {
    const targets = [
      "Debian http://mirror.example/debian/ bookworm main",
      "Debian http://mirror.example/debian/ bookworm main",
      "Debian http://mirror.example/debian/ bookworm contrib",
      "Debian http://mirror.example/debian-security/ bookworm-security main",
      "Debian cdrom:[Debian]/ bookworm main",
      "Raspbian http://other.example/ bookworm main",
      " https://deb.nodesource.com/node_20.x/ nodistro main"
    ].join("\n")
    assert.deepStrictEqual(mirrorLines(targets, "bookworm"), [
      "deb http://mirror.example/debian/ bookworm main",
      "deb http://mirror.example/debian-security/ bookworm-security main"
    ])
  })

  it("takes none where the suite itself is not among them", () => {
    assert.deepStrictEqual(mirrorLines("Debian http://m/debian/ bookworm-updates main", "bookworm"), [])
    assert.deepStrictEqual(mirrorLines("", "bookworm"), [])
  })
})

describe("explain", () => {
  it("knows what to do about the usual failures", () => {
    const remedy = (line: string) => explain(["I: begins", line]).remedy
    assert.include(remedy("E: unable to pick chroot mode automatically (use --mode for manual selection)"), "uidmap")
    assert.include(remedy("E: write failed: No space left on device"), "free some space")
    assert.include(remedy("W: GPG error: NO_PUBKEY 0E98404D386FA1D9"), "debian-archive-keyring")
    assert.include(remedy("E: something new"), "mmdebstrap bookworm")
    assert.include(explain(["I: begins", "E: something new"]).message, "something new")
  })
})
