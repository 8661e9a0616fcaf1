/** Fills the file system of the home it is given, and says what a vault in it answers and still holds. */
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { secret, set, values, vaultAt } from "./home.ts"

const directory = process.argv[2] ?? ""
mkdirSync(`${directory}/data`, { mode: 0o700 })

const fill = () => {
  try {
    writeFileSync(`${directory}/filler`, Buffer.alloc(1024 * 1024))
  } catch {
    // That is what it is for.
  }
}

const work = Effect.gen(function* () {
  yield* set(secret("A", "kept"))
  fill()
  const error = yield* Effect.flip(set(secret("A", "x".repeat(60_000))))
  const { A } = yield* values
  process.stdout.write(`${error._tag}\n${A}\n`)
})

void Effect.runPromise(Effect.provide(work, vaultAt(directory)))
