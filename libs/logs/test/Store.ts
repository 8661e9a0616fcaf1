/** What the log tests share: a store in a home of its own, and the plain bytes of what was read. */
import { InstanceId, type LogEntry, type LogGap, type LogLine } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Chunk from "effect/Chunk"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type LogLimits, type LogRecord, LogStore } from "../src/index.ts"

export const id = InstanceId.make("inst-1")

export const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "aegis-logs-"))),
  (directory) => Effect.sync(() => execFileSync("rm", ["-rf", directory]))
)

/** A store on this home; building it again is what a restart of the daemon does. */
export const storeOn = (home: string, limits: Partial<LogLimits> = {}) =>
  LogStore.layer(limits).pipe(
    Layer.provide(AegisPaths.layer("/nowhere")),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", home]]))))
  )

export const directory = (home: string) => path.join(home, "data", "logs", id)

export const segments = (home: string) =>
  fs
    .readdirSync(directory(home))
    .filter((name) => name.endsWith(".log"))
    .sort()

export const out = (bytes: string | Uint8Array, guestSeq?: bigint): LogRecord => ({
  source: "primary",
  stream: "stdout",
  bytes: typeof bytes === "string" ? Buffer.from(bytes) : bytes,
  ...(guestSeq === undefined ? {} : { guestSeq })
})

export const collect = <E, R>(stream: Stream.Stream<ReadonlyArray<LogEntry>, E, R>) =>
  Effect.map(Stream.runCollect(stream), (batches) => Chunk.toReadonlyArray(batches).flat())

export const readAll = (query: Parameters<(typeof LogStore)["Service"]["read"]>[1] = {}) =>
  Effect.flatMap(LogStore, (store) => collect(store.read(id, query)))

export const isLine = (entry: LogEntry): entry is LogLine => entry._tag === "Line"
export const isGap = (entry: LogEntry): entry is LogGap => entry._tag === "Gap"

export const text = (entry: LogEntry) => (isLine(entry) ? Buffer.from(entry.bytes).toString("utf8") : "(gap)")

/** A stream's bytes, put together again. */
export const bytesOf = (entries: ReadonlyArray<LogEntry>, wanted: (line: LogLine) => boolean = () => true) =>
  Buffer.concat(
    entries
      .filter(isLine)
      .filter(wanted)
      .flatMap(({ bytes, partial }) => (partial ? [bytes] : [bytes, Buffer.from("\n")]))
  )

export const descriptors = () => fs.readdirSync("/proc/self/fd").length
