/**
 * A daemon's journal without the daemon, for tests that kill it, fill its disk or break its syncs. Usage: FILE MODE; says on stdout
 * what was acknowledged, one line each, unbuffered.
 */
import { ByDaemon, DaemonStarted, InstanceDeleted } from "@aegis/domain"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { rmSync, writeFileSync, writeSync } from "node:fs"
import { InstanceRecords, Journal, journalAt } from "../../src/index.ts"
import { cli, created, started } from "../sample.ts"

const [file = "", mode] = process.argv.slice(2)
const say = (line: string) => Effect.sync(() => writeSync(1, `${line}\n`))
const daemon = new ByDaemon({ because: "a test" })
const hello = { cause: daemon, data: new DaemonStarted({ version: "0".repeat(300), pid: 1 }) }

const append = Effect.flatMap(Journal, (journal) => journal.append([hello]))

const live = Effect.gen(function* () {
  const { insert, nextId, remove, update } = yield* InstanceRecords
  const { lastSeq } = yield* Journal
  for (let round = 0; ; round++) {
    const id = yield* nextId
    yield* insert(id, cli, created(`h${id.slice(5)}`))
    yield* say(`record ${id}`)
    yield* update(id, daemon, [started, started])
    yield* append
    yield* say(`event ${yield* lastSeq}`)
    if (round % 3 !== 0) continue
    yield* say(`leaving ${id}`)
    yield* remove(id, daemon, new InstanceDeleted())
    yield* say(`removed ${id}`)
  }
})

/** Appends until it fails, reads, gives the room back, and appends again. */
const fill = Effect.gen(function* () {
  const { get, insert, list, nextId } = yield* InstanceRecords
  const { lastSeq, verify } = yield* Journal
  const id = yield* nextId
  yield* insert(id, cli, created("first"))
  const error = yield* Effect.flip(Effect.repeatN(append, 3000))
  yield* say(`failed ${error._tag} ${error.message}`)
  const again = yield* Effect.either(append)
  yield* say(`again ${again._tag === "Left" ? again.left._tag : "fine"}`)
  yield* say(`listed ${(yield* list()).length} ${(yield* get("first")).id === id}`)
  yield* say(`verified ${JSON.stringify(yield* verify)} ${yield* lastSeq}`)
  rmSync(`${file}.ballast`, { force: true })
  const after = yield* Effect.either(append)
  yield* say(`after ${after._tag === "Left" ? after.left._tag : "fine"}`)
  yield* say(`verified ${JSON.stringify(yield* verify)} ${yield* lastSeq}`)
})

const main = mode === "live" ? live : mode === "open" ? Effect.zipRight(Journal, say("opened")) : fill

if (mode === "fill") writeFileSync(`${file}.ballast`, Buffer.alloc(200_000))

void Effect.runPromiseExit(Effect.provide(main, journalAt({ file }))).then((exit) => {
  if (exit._tag === "Failure") writeSync(1, `ended ${Cause.pretty(exit.cause)}\n`)
})
