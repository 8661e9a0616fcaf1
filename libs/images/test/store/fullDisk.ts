/** Run by a test on a file system of 3 MB: fills it up with a blob, and says what became of it. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { digestOf } from "../../src/registry/Resolve.ts"
import { blobFiles, hexOf, storeAt } from "./fixtures.ts"

const home = process.argv[2] ?? ""

const ingest = (content: Buffer) =>
  Effect.flatMap(storeAt(home), ({ blobs }) =>
    blobs.ingest({
      reference: "r/app:1",
      origin: "r",
      descriptor: { digest: digestOf(content), size: content.length },
      report: () => undefined,
      download: (part) => part.append(0, Stream.make(content.subarray(0, 2_000_000), content.subarray(2_000_000)))
    })
  )

const program = Effect.gen(function* () {
  const small = randomBytes(500_000)
  yield* ingest(small)
  const first = yield* Effect.either(ingest(randomBytes(5_000_000)))
  const files = blobFiles(home).map((name) => (name === hexOf(digestOf(small)) ? "small" : name))
  const { blobs } = yield* storeAt(home)
  const kept = yield* blobs.readSmall(digestOf(small), 1e6)
  const { bavail, bsize } = fs.statfsSync(home)
  return {
    first: Either.match(first, { onLeft: (error) => error._tag, onRight: () => "stored" }),
    files,
    small: small.equals(kept),
    freed: bavail * bsize > 2_000_000,
    afterwards: yield* ingest(randomBytes(1_500_000))
  }
})

Effect.runPromise(Effect.scoped(program)).then((result) => process.stdout.write(JSON.stringify(result)))
