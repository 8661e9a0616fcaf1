/**
 * A process that writes a log, for the tests that kill it or fill its disk: `append HOME FIRST` or `full HOME`.
 */
import { LogQuery } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { LogStore } from "../src/index.ts"
import { bytesOf, collect, id, isGap, isLine, out, storeOn } from "./Store.ts"

const [mode = "", home = ""] = process.argv.slice(2)
const say = (text: string) =>
  Effect.async<void>((resume) => void process.stdout.write(`${text}\n`, () => resume(Effect.void)))

/** As the pump does it: goes on behind the stored cursor, and says a number only when what it stands for is stored. */
const append = Effect.gen(function* () {
  const store = yield* LogStore
  const writer = yield* store.open(id)
  let next = (yield* store.lastGuestSeq(id)) + 1n
  for (;;) {
    const count = 1 + Number(next % 7n)
    const frames = Array.from({ length: count }, (_, i) => {
      const seq = next + BigInt(i)
      const line = `${seq} ${"x".repeat(Number((seq * 7919n) % 3000n))}\n`
      return seq % 5n === 0n ? [out(line.slice(0, 4)), out(line.slice(4), seq)] : [out(line, seq)]
    }).flat()
    yield* writer.append(frames)
    next += BigInt(count)
    yield* say(String(next - 1n))
  }
})

/** Writes until the disk is full, gives some output up, makes room, and goes on. */
const full = Effect.gen(function* () {
  const store = yield* LogStore
  const writer = yield* store.open(id)
  const block = out(`${"y".repeat(9_999)}\n`)
  let stored = 0
  const error = yield* Effect.flip(
    Effect.forever(Effect.tap(writer.append([block]), () => Effect.sync(() => void (stored += 1))))
  )
  const again = yield* Effect.flip(writer.append([block, block]))
  yield* writer.discard([block])
  yield* writer.discard([block, block, out("half")])
  const read = yield* collect(store.read(id, {}))
  fs.rmSync(`${home}/ballast`)
  yield* writer.append([out("after\n")])
  const entries = yield* collect(store.read(id, {}))
  return {
    tags: [error._tag, again._tag],
    whole: bytesOf(read).length === stored * 10_000 && read.every(isLine),
    gap: entries.filter(isGap).map(({ lostBytes, lostEntries, reason }) => ({ lostBytes, lostEntries, reason })),
    lines: entries.filter(isLine).length - stored,
    last: bytesOf(entries.slice(-1)).toString(),
    followers: (yield* collect(store.read(id, Schema.decodeSync(LogQuery)({ tail: 1 })))).length
  }
})

const program = mode === "append" ? append : Effect.tap(full, (result) => say(JSON.stringify(result)))
await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(storeOn(home))))
