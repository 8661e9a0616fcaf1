/**
 * Which entries a reader wants.
 */
import { InvalidArgument, type LogEntry, type LogQuery, logTime } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as v8 from "node:v8"

export type LogFilter = (entry: LogEntry) => boolean

/** The query's conditions on a single entry, but for its number. Nothing where all are wanted. */
export const compile = (query: LogQuery): Effect.Effect<LogFilter | undefined, InvalidArgument> =>
  Effect.gen(function* () {
    const { execId, grep, since, sources } = query
    const pattern = grep === undefined ? undefined : yield* linearPattern(grep)
    const begin = since === undefined ? -Infinity : DateTime.toEpochMillis(since)
    if (pattern === undefined && since === undefined && sources === undefined && execId === undefined) return undefined
    return (entry) => {
      if (logTime(entry) < begin) return false
      if (entry._tag === "Gap") return true
      if (sources !== undefined && !sources.includes(entry.source)) return false
      if (execId !== undefined && entry.execId !== execId) return false
      return pattern === undefined || pattern.test(textOf(entry.bytes))
    }
  })

/** The flag with which V8 refuses what its linear engine cannot run. */
const linear = "l"

const textOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")

/**
 * A pattern that no guest's line can make slow: one that V8 can run in linear time. It runs as usual, and when it backtracks too often goes
 * on with V8's linear engine: 64 KiB of the worst kind take some 30 ms. What needs look-around, back-references or counts of more
 * than some hundred is refused.
 */
const linearPattern = (source: string) =>
  Effect.try({
    try: () => {
      v8.setFlagsFromString("--enable-experimental-regexp-engine")
      v8.setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks")
      return new RegExp(new RegExp(source, linear).source)
    },
    catch: (cause) =>
      new InvalidArgument({
        argument: "grep",
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: "use a regular expression without look-around and back-references"
      })
  })
