/** A router in front of one server of this machine, for `router-proxy.bench.ts`; ends with its standard input. */
import * as Effect from "effect/Effect"
import { once } from "node:events"
import { house } from "../libs/router/test/house.ts"

const port = Number(process.argv[2])
const program = Effect.gen(function* () {
  const { port: own } = yield* house([{ name: "web", port }])
  yield* Effect.sync(() => console.log(own))
  process.stdin.resume()
  yield* Effect.promise(() => once(process.stdin, "end"))
})
await Effect.runPromise(Effect.scoped(program))
process.exit(0)
