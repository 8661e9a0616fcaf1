/** Run by a test, which kills it: pulls an image into a home. `slow` keeps it in the disk's making for ever. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { DiskBuilder } from "../../src/store/DiskBuilder.ts"
import { simpleBuilder, sourceOf, storeAt } from "./fixtures.ts"

const [, , home = "", image = "", mode] = process.argv

const never = (disk: string) => {
  fs.writeFileSync(`${disk}.tmp-${process.pid}`, "half")
  process.stdout.write("building\n")
  // The process lives on.
  setInterval(() => undefined, 1000)
  return Effect.never
}
const slow = Layer.succeed(DiskBuilder, { merge: ({ disk }) => never(disk), fromTar: ({ disk }) => never(disk) })

const program = Effect.gen(function* () {
  const store = yield* storeAt(home, { builder: mode === "slow" ? slow : simpleBuilder().layer })
  const { disk } = yield* store.pulled(yield* sourceOf(image))
  process.stdout.write(`${disk.path}\n`)
})

Effect.runPromise(Effect.scoped(program)).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(String(error))
    process.exit(1)
  }
)
