/** One piece of work with the vault of a home: `HOME set NAME VALUE`, `HOME rotate` or `HOME look`. `AEGIS_CRASH_AT=n` kills it there. */
import { armCrashPoints } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { Vault } from "../src/index.ts"
import { secret, set, values, vaultAt } from "./home.ts"

const [home = "", mode = "", name = "", value = ""] = process.argv.slice(2)

const work = Effect.gen(function* () {
  if (mode === "set") yield* set(secret(name, value))
  if (mode === "rotate") yield* Effect.flatMap(Vault, (vault) => vault.rotateKey)
  process.stdout.write(`${JSON.stringify(yield* values)}\n`)
})

const quiet = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

void Effect.runPromise(Effect.zipRight(armCrashPoints, Effect.provide(work, vaultAt(home))).pipe(Effect.provide(quiet)))
