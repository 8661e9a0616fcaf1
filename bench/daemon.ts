/**
 * What benchmarks need of a daemon: the memory it holds, and records as it writes them.
 */
import { ByCli, ByGuest, Exited, InstanceCreated, InstanceEnded, type InstanceSpec } from "@aegis/domain"
import { InstanceRecords, journalAt } from "@aegis/journal"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"

/** Megabytes of its own that the daemon holds, the least of some looks in twenty seconds: what waits to be collected is not counted. */
export const memoryOf = async (pid: number) => {
  const looks: Array<number> = []
  for (let look = 0; look < 40; look++) {
    looks.push(Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return Math.min(...looks)
}

/** So many stopped instances in a home that no daemon uses. */
export const writeStopped = (home: string, count: number, spec: InstanceSpec): Promise<void> =>
  Effect.gen(function* () {
    const { insert, nextId, update } = yield* InstanceRecords
    const id = yield* nextId
    yield* insert(id, new ByCli({ command: "bench" }), new InstanceCreated({ spec }))
    yield* update(id, new ByGuest(), [new InstanceEnded({ reason: new Exited({ code: 0 }) })])
  }).pipe(
    Effect.repeatN(count - 1),
    Effect.provide(journalAt({ file: path.join(home, "data/aegis.db") })),
    Effect.runPromise
  )
