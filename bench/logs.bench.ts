/** The log store, alone and behind the daemon: how fast output goes in and comes out, and how soon a follower sees it. */
import { InstanceId } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { LogStore, type LogWriter } from "../libs/logs/src/index.ts"
import { dist, Product } from "../test/product/Product.ts"
import { ms, paired, program, quantile, report, timed } from "./measure.ts"

const home = mkdtempSync(path.join(tmpdir(), "aegis-bench-logs-"))
let instances = 0
const nextId = () => InstanceId.make(`inst-${++instances}`)

const homeAt = (directory: string) =>
  AegisPaths.layer("/nowhere").pipe(
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", directory]]))))
  )
const run = <A>(effect: Effect.Effect<A, unknown, LogStore>) =>
  Effect.runPromise(Effect.provide(effect, LogStore.layer({}).pipe(Layer.provide(homeAt(home)))))

const written = (id: InstanceId, use: (writer: LogWriter) => Effect.Effect<unknown, unknown>) =>
  Effect.flatMap(LogStore, (store) => Effect.scoped(Effect.flatMap(store.open(id), use)))

const frames = (bytes: Uint8Array, count: number) => (writer: LogWriter) =>
  Effect.repeatN(writer.append([{ source: "primary", stream: "stdout", bytes }]), count - 1)

const block = Buffer.from(`${"x".repeat(99)}\n`.repeat(655))
const count = 4096
const ingest = () => timed(() => run(written(nextId(), frames(block, count))))
const plain = () =>
  timed(async () => {
    const file = path.join(home, "plain")
    const handle = await fs.open(file, "a")
    for (let i = 0; i < count; i++) {
      await handle.write(block)
      if (i % 64 === 63) await handle.truncate(0)
    }
    await handle.close()
  })
const speed = await paired(5, ingest, plain)
const rate = (took: number) => `${((block.length * count) / took / 1000).toFixed(0)} MB/s`
report(
  `${count} frames of 64 KiB, lines of 100 bytes, into a log at its cap, against bare write(2) of the same to a file`,
  `${rate(speed.a)} : ${rate(speed.b)}, ${speed.ratio.toFixed(2)} × the time`,
  "at least what the guest's channel delivers (40 MB/s)"
)

const memory = process.memoryUsage().rss
let most = 0
let early = 0
let seen = 0
await run(
  Effect.flatMap(LogStore, (store) => {
    const id = nextId()
    const watch = (entries: number) => {
      seen += entries
      most = Math.max(most, process.memoryUsage().rss)
      if (seen < 2.5e6) early = most
    }
    const reader = Stream.runForEach(store.read(id, { follow: true }), ({ length }) => Effect.sync(() => watch(length)))
    return written(id, (writer) => Effect.race(frames(block, 16_384)(writer), reader))
  })
)
const more = (rss: number) => `${((rss - memory) / 1e6).toFixed(0)} MB`
report("memory over 1 GB in, and followed", `${more(early)} more after a quarter, ${more(most)} after all`, "flat")

/** A million lines of 60 bytes, in frames of a guest's size: all of them are in a log with its usual cap. */
const millionFrames = frames(Buffer.from(`${"x".repeat(59)}\n`.repeat(1000)), 1000)
const million = nextId()
const lines = (took: number) => `${(1e9 / took).toFixed(0)} lines/s`
const storing = () => timed(() => run(written(nextId(), millionFrames)))
await run(written(million, millionFrames))
const reading = async (query: object) => {
  let read = 0
  const took = await timed(() =>
    run(
      Effect.flatMap(LogStore, (store) =>
        Stream.runForEach(store.read(million, query), (batch) => Effect.sync(() => void (read += batch.length)))
      )
    )
  )
  return { read, took }
}
const whole = async () => {
  const { read, took } = await reading({})
  if (read !== 1e6) throw new Error(`${read} lines were read back`)
  return took
}
const stored = await paired(5, storing, whole)
report(
  "1 M lines of 60 bytes into the log store; and read back from it",
  `${lines(stored.a)}; ${lines(stored.b)}`,
  "at least 200 000 lines/s"
)

/** The same as a person has it: through the daemon, the socket and the command line. */
const aegis = await Product.make()
const cli = path.join(dist, "aegis")
await aegis.says("up")
const started = await aegis.says("instance", "start", "--name", "big", "--memory", "64", "--", "true")
const [id = ""] = /inst-\d+/.exec(started) ?? []
await aegis.run(["instance", "wait", "big"])
await aegis.says("down")
await Effect.runPromise(
  written(InstanceId.make(id), millionFrames).pipe(
    Effect.provide(LogStore.layer({}).pipe(Layer.provide(homeAt(aegis.home))))
  )
)
await aegis.says("up")
const shown = await paired(
  5,
  () => timed(() => program(cli, ["logs", "big"], aegis.env)),
  () => timed(() => program(cli, ["logs", "big", "--tail", "1"], aegis.env))
)
report(
  "aegis logs of 1 M lines, from its spawn to its end; of one line; the difference a line",
  `${ms(shown.a)}: ${lines(shown.a)}; ${ms(shown.b)}; ${lines(shown.a - shown.b)}`,
  "at least 200 000 lines/s"
)
await aegis.remove()
report(
  "the last 10 of them; the last 10 that match",
  `${ms((await reading({ tail: 10 })).took)}; ${ms((await reading({ tail: 10, grep: "x{3}$" })).took)}`,
  "nothing; a segment or two are read, whatever the log's size"
)

/** 100 000 lines of 100 bytes in ten seconds, one batch about every millisecond; each line says when it was made. */
const steadily = async (write: (batch: ReadonlyArray<Buffer>) => Promise<unknown>) => {
  const begun = performance.now()
  for (let sent = 0; sent < 100_000;) {
    const due = Math.min(100_000, Math.floor((performance.now() - begun) * 10))
    const now = performance.now().toFixed(3).padStart(99, " ")
    await write(Array.from({ length: due - sent }, () => Buffer.from(`${now}\n`)))
    sent = due
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
const latencies: Array<number> = []
await run(
  Effect.gen(function* () {
    const store = yield* LogStore
    const id = nextId()
    const writer = yield* store.open(id)
    const reader = yield* Effect.fork(
      Stream.runForEach(store.read(id, { follow: true }), (batch) =>
        Effect.sync(() => {
          const now = performance.now()
          for (const entry of batch) {
            if (entry._tag === "Line") latencies.push(now - Number(Buffer.from(entry.bytes).toString("latin1")))
          }
        })
      )
    )
    yield* Effect.promise(() =>
      steadily((batch) =>
        Effect.runPromise(writer.append(batch.map((bytes) => ({ source: "primary", stream: "stdout", bytes }))))
      )
    )
    yield* Effect.sleep("200 millis")
    yield* Fiber.interrupt(reader)
  }).pipe(Effect.scoped)
)
const bare: Array<number> = []
const handle = await fs.open(path.join(home, "bare"), "a+")
await steadily(async (batch) => {
  const begun = performance.now()
  await handle.write(Buffer.concat(batch))
  for (let i = 0; i < batch.length; i++) bare.push(performance.now() - begun)
})
await handle.close()
const quantiles = (values: Array<number>) => `p50 ${ms(quantile(values, 0.5))}, p99 ${ms(quantile(values, 0.99))}`
report(
  `a follower at 10 000 lines/s, ${latencies.length} lines, from before the append to the follower, against the bare writes of the same`,
  `${quantiles(latencies)} : ${quantiles(bare)}`,
  "p99 under 20 ms"
)

const delays = monitorEventLoopDelay({ resolution: 1 })
await run(
  Effect.gen(function* () {
    delays.enable()
    const line = Buffer.from(`${"y".repeat(99)}\n`.repeat(50))
    const steady = (writer: LogWriter) =>
      Effect.repeatN(
        Effect.zipRight(
          writer.append([{ source: "primary", stream: "stdout", bytes: line }]),
          Effect.sleep("10 millis")
        ),
        500
      )
    yield* Effect.forEach(Array.from({ length: 20 }, nextId), (id) => written(id, steady), { concurrency: "unbounded" })
    delays.disable()
  })
)
report(
  "the event loop with 20 logs at 5000 lines/s each",
  `p99 ${ms(delays.percentile(99) / 1e6)}, at most ${ms(delays.max / 1e6)}`,
  "no stall over 100 ms"
)
rmSync(home, { recursive: true })
