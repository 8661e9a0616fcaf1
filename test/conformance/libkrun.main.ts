/**
 * The conformance suite against libkrun as a plain program, one line a case: `ok TITLE` or `not ok TITLE: why`. It is bundled
 * and run inside the testbed, where a start of vitest would take minutes.
 *
 * libkrun.main.cjs PRODUCT HOME ROOT-DISK CASES-TO-PASS-OVER
 */
import { AegisPaths } from "@aegis/host"
import * as Libkrun from "@aegis/vm-libkrun"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { conformanceCases } from "./suite.ts"

const [product = "", home = "", rootDisk = "", before = "0"] = process.argv.slice(2)

const paths = AegisPaths.layer(product).pipe(
  Layer.provide(
    Layer.setConfigProvider(
      ConfigProvider.fromMap(
        new Map([
          ["AEGIS_HOME", home],
          ["AEGIS_BOOT_TIMEOUT", "60"]
        ])
      )
    )
  ),
  Layer.orDie
)

const program = Effect.gen(function* () {
  const backend = yield* Effect.provide(Libkrun.make, paths)
  const cases = conformanceCases({
    backend: Effect.succeed(backend),
    rootDisk,
    runDirectory: `${home}/data/run`,
    patience: 10
  })
  for (const { body, title } of cases.slice(Number(before))) {
    const exit = yield* Effect.exit(Effect.scoped(body).pipe(Effect.timeout("100 seconds")))
    const line = Exit.match(exit, {
      onSuccess: () => `ok ${title}`,
      onFailure: (cause) => `not ok ${title}: ${Cause.pretty(cause).split("\n").slice(0, 4).join(" | ")}`
    })
    process.stdout.write(`${line}\n`)
  }
}).pipe(Effect.scoped, Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_BOOT_TIMEOUT", "60"]]))))

Effect.runPromise(program).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  }
)
