import { type Digest, PullStalled } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { digestOf } from "../../src/registry/Resolve.ts"
import type { Ingest } from "../../src/store/BlobStore.ts"
import type { Part } from "../../src/store/PartFile.ts"
import { temporary } from "../registry/scripted.ts"
import { blobFiles, bundled, hexOf, layoutOf, storeAt } from "./fixtures.ts"

const bytes = randomBytes(900_000)
const digest = digestOf(bytes)
const partName = `${hexOf(digest)}.part`

const stalled = new PullStalled({ registry: "r", reason: "it stalled" })

const ingestOf = (download: Ingest["download"], descriptor: Partial<Ingest["descriptor"]> = {}): Ingest => ({
  reference: "r/app:1",
  origin: "r",
  descriptor: { digest, size: bytes.length, ...descriptor },
  report: () => undefined,
  download
})

/** Gives `content` from where the part ends, in pieces. */
const giving =
  (content: Uint8Array, offsets: Array<number> = []) =>
  (part: Part) => {
    const from = part.offset()
    offsets.push(from)
    return part.append(from, piecesOf(content.subarray(from)))
  }

const piecesOf = (content: Uint8Array) =>
  Stream.range(0, Math.max(0, Math.ceil(content.length / 50_000) - 1)).pipe(
    Stream.map((at) => content.subarray(at * 50_000, (at + 1) * 50_000))
  )

/** Gives the first `length` bytes, and breaks. */
const breaking =
  (length: number, from = 0) =>
  (part: Part) =>
    part.append(from, Stream.concat(piecesOf(bytes.subarray(from, length)), Stream.fail(stalled)))

const setUp = Effect.gen(function* () {
  const home = yield* temporary
  return { home, blobs: (yield* storeAt(home)).blobs }
})

describe("BlobStore", () => {
  it.scoped("keeps a blob under its digest, private, and fetches it once", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      assert.isTrue(yield* blobs.ingest(ingestOf(giving(bytes))))
      assert.isFalse(yield* blobs.ingest(ingestOf(() => Effect.die("asked again"))))
      assert.deepStrictEqual(blobFiles(home), [hexOf(digest)])
      assert.isTrue(fs.readFileSync(blobs.path(digest)).equals(bytes))
      assert.strictEqual(fs.statSync(blobs.path(digest)).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(layoutOf(home)).mode & 0o777, 0o700)
    })
  )

  it.scoped("T-56 what is no digest gets no path", () =>
    Effect.gen(function* () {
      const { blobs } = yield* setUp
      for (const text of ["sha256:../../../etc/passwd", `sha256:${"a".repeat(63)}`, "md5:00"]) {
        const forged: Digest = JSON.parse(JSON.stringify(text))
        assert.throws(() => blobs.path(forged))
      }
    })
  )

  it.scoped("T-59 a blob that is longer or shorter than its descriptor says is not kept", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      for (const size of [bytes.length - 1, bytes.length + 1]) {
        const error = yield* Effect.flip(blobs.ingest(ingestOf(giving(bytes), { size })))
        assert.strictEqual(error._tag, "DigestMismatch")
        assert.include(error.message, `size of blob ${digest} should be ${size}`)
        assert.deepStrictEqual(blobFiles(home), [])
      }
      // One that is here keeps its size, whatever another image says of it.
      yield* blobs.ingest(ingestOf(giving(bytes)))
      const lied = yield* Effect.flip(blobs.ingest(ingestOf(giving(bytes), { size: 7 })))
      assert.strictEqual(lied._tag, "DigestMismatch")
      assert.deepStrictEqual(blobFiles(home), [hexOf(digest)])
    })
  )

  it.scoped("T-99 a download that broke off goes on where it broke, at byte 0, 1, in the middle and at the last", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      for (const length of [0, 1, 450_000, bytes.length - 1]) {
        assert.strictEqual(yield* Effect.flip(blobs.ingest(ingestOf(breaking(length)))), stalled)
        assert.deepStrictEqual(blobFiles(home), [partName])
        const offsets: Array<number> = []
        assert.isTrue(yield* blobs.ingest(ingestOf(giving(bytes, offsets))))
        assert.deepStrictEqual(offsets, [length])
        assert.deepStrictEqual(blobFiles(home), [hexOf(digest)])
        fs.rmSync(blobs.path(digest))
      }
    })
  )

  it.scoped("T-98 a source that begins anew overwrites what was there", () =>
    Effect.gen(function* () {
      const { blobs } = yield* setUp
      yield* Effect.flip(blobs.ingest(ingestOf(breaking(300_000))))
      yield* blobs.ingest(ingestOf((part) => part.append(0, piecesOf(bytes))))
      assert.isTrue(fs.readFileSync(blobs.path(digest)).equals(bytes))
    })
  )

  it.scoped("T-100 a body that does not end is cut off at the first byte too many", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      let given = 0
      const endless = Stream.repeatValue(bytes.subarray(0, 100_000)).pipe(
        Stream.tap((piece) => Effect.sync(() => (given += piece.length)))
      )
      const error = yield* Effect.flip(blobs.ingest(ingestOf((part) => part.append(part.offset(), endless))))
      assert.strictEqual(error._tag, "DigestMismatch")
      assert.isAtMost(given, bytes.length + 100_000)
      assert.deepStrictEqual(blobFiles(home), [])
    })
  )

  it.scoped("T-101 a body that ends early without an error is a mismatch", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      const error = yield* Effect.flip(blobs.ingest(ingestOf(giving(bytes.subarray(0, 500_000)))))
      assert.strictEqual(error._tag, "DigestMismatch")
      assert.deepStrictEqual(blobFiles(home), [])
    })
  )

  it.scoped("T-102 one flipped bit: DigestMismatch names both digests, and nothing is kept", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      const flipped = Buffer.from(bytes)
      flipped.writeUInt8((flipped[777_777] ?? 0) ^ 4, 777_777)
      const error = yield* Effect.flip(blobs.ingest(ingestOf(giving(flipped))))
      assert.deepInclude(error, { _tag: "DigestMismatch", expected: digest, actual: digestOf(flipped) })
      assert.deepStrictEqual(blobFiles(home), [])
      assert.isTrue(yield* blobs.ingest(ingestOf(giving(bytes))))
    })
  )

  it.scoped("T-103 what came before a download stalled is kept, also for a later process", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { blobs } = yield* storeAt(home)
          const error = yield* Effect.flip(blobs.ingest(ingestOf(breaking(700_000))))
          assert.strictEqual(error._tag, "PullStalled")
        })
      )
      const offsets: Array<number> = []
      yield* (yield* storeAt(home)).blobs.ingest(ingestOf(giving(bytes, offsets)))
      assert.deepStrictEqual(offsets, [700_000])
    })
  )

  it.scoped("T-85 a part that a crash has damaged is not held against the source", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const place = path.join(layoutOf(home), "blobs", "sha256")
      fs.mkdirSync(place, { recursive: true, mode: 0o700 })
      // As after a power failure: the length is there, the bytes are not. And longer than the blob, in the second round.
      for (const damaged of [Buffer.alloc(400_000), Buffer.alloc(bytes.length), Buffer.alloc(bytes.length + 5)]) {
        fs.writeFileSync(path.join(place, partName), damaged)
        fs.writeFileSync(path.join(place, `${hexOf(digest)}.tmp-77-0badcafe`), "half a document")
        const { blobs } = yield* storeAt(home)
        assert.isTrue(yield* blobs.ingest(ingestOf(giving(bytes))))
        assert.deepStrictEqual(blobFiles(home), [hexOf(digest)])
        fs.rmSync(blobs.path(digest))
      }
    })
  )

  it.scoped("a part that is whole needs no source any more", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      fs.writeFileSync(path.join(layoutOf(home), "blobs", "sha256", partName), bytes)
      assert.isTrue(yield* blobs.ingest(ingestOf(() => Effect.die("asked"))))
    })
  )

  it.scoped("T-85 parts that nobody came back for in a week are removed at the start", () =>
    Effect.gen(function* () {
      const home = yield* temporary
      const place = path.join(layoutOf(home), "blobs", "sha256")
      fs.mkdirSync(place, { recursive: true, mode: 0o700 })
      fs.writeFileSync(path.join(place, partName), "x")
      yield* storeAt(home)
      assert.deepStrictEqual(blobFiles(home), [partName])
      yield* TestClock.setTime(fs.statSync(path.join(place, partName)).mtimeMs + 8 * 24 * 3600 * 1000)
      yield* storeAt(home)
      assert.deepStrictEqual(blobFiles(home), [])
    })
  )

  it.scoped("T-110 one download serves all; the first caller's interruption does not end it, the last one's does", () =>
    Effect.gen(function* () {
      const { blobs, home } = yield* setUp
      const begun = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      let downloads = 0
      const slow = (part: Part) =>
        Effect.gen(function* () {
          downloads++
          yield* part.append(0, Stream.make(bytes.subarray(0, 400_000)))
          yield* Deferred.succeed(begun, undefined)
          yield* Deferred.await(goOn)
          yield* part.append(400_000, Stream.make(bytes.subarray(400_000)))
        })
      const first = yield* Effect.fork(blobs.ingest(ingestOf(slow)))
      yield* Deferred.await(begun)
      const heard: Array<readonly [number, boolean]> = []
      const others = yield* Effect.forEach([1, 2], () =>
        Effect.fork(
          blobs.ingest({
            ...ingestOf(() => Effect.die("a second download")),
            report: ({ bytes: count, shared }) => void heard.push([count, shared])
          })
        )
      )
      yield* Effect.promise(() => new Promise((done) => setImmediate(done))).pipe(
        Effect.repeat({ until: () => heard.length === 2 })
      )
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(goOn, undefined)
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(others)), [true, true])
      assert.deepStrictEqual([downloads, heard[0], heard.at(-1)], [1, [400_000, true], [bytes.length, true]])

      fs.rmSync(blobs.path(digest))
      const again = yield* Deferred.make<void>()
      const last = yield* Effect.fork(
        blobs.ingest(ingestOf(() => Effect.zipRight(Deferred.succeed(again, undefined), Effect.never)))
      )
      yield* Deferred.await(again)
      yield* Fiber.interrupt(last)
      assert.deepStrictEqual(blobFiles(home), [partName])
      assert.strictEqual((yield* blobs.idleParts).length, 1)
    })
  )

  it.scoped("a document is read back verified, and never beyond its limit", () =>
    Effect.gen(function* () {
      const { blobs } = yield* setUp
      const kept = yield* blobs.put(bytes)
      assert.isTrue(bytes.equals(yield* blobs.readSmall(kept.digest, bytes.length)))
      assert.strictEqual((yield* Effect.flip(blobs.readSmall(digest, 10)))._tag, "ImageStoreCorrupt")
      fs.writeFileSync(blobs.path(digest), Buffer.alloc(bytes.length))
      assert.include((yield* Effect.flip(blobs.readSmall(digest, 1e7))).message, "is not what its name says")
      assert.deepStrictEqual(yield* blobs.removeDamaged([digest]), [digest])
      assert.include((yield* Effect.flip(blobs.readSmall(digest, 1e7))).message, "is not there")
    })
  )

  it.scoped("no descriptor stays open", () =>
    Effect.gen(function* () {
      const { blobs } = yield* setUp
      const open = () => fs.readdirSync("/proc/self/fd").length
      const before = open()
      yield* Effect.flip(blobs.ingest(ingestOf(breaking(100_000))))
      yield* blobs.ingest(ingestOf(giving(bytes)))
      yield* blobs.readSmall(digest, bytes.length)
      assert.strictEqual(open(), before)
    })
  )
})

describe("BlobStore on a full disk", () => {
  it("T-84 DiskFull, no part is left, the other blobs are valid, the next download works", () => {
    // A file system of 3 MB that only this process sees.
    const script = `mount -t tmpfs -o size=3m none "$1" && exec "$2" "$3" "$1"`
    const directory = fs.mkdtempSync(path.join(tmpdir(), "aegis-full-"))
    try {
      const program = bundled("fullDisk.ts", `${directory}.mjs`)
      const said = execFileSync("unshare", ["-rm", "sh", "-ec", script, "sh", directory, process.execPath, program], {
        encoding: "utf8"
      })
      assert.deepStrictEqual(JSON.parse(said), {
        first: "DiskFull",
        files: ["small"],
        small: true,
        freed: true,
        afterwards: true
      })
    } finally {
      fs.rmSync(directory, { recursive: true, force: true })
      fs.rmSync(`${directory}.mjs`, { force: true })
    }
  })
})
