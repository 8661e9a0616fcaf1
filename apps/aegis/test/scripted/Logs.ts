/**
 * The scripted daemon's logs: the same few entries for every instance, more by its command. `chatter N` has N lines more; `sleep
 * noisily` goes on for ever where it is followed.
 */
import { InvalidArgument, type LogEntry, LogGap, type LogLine, type LogQuery } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { appendFileSync } from "node:fs"
import { find, watch } from "./Guests.ts"

const time = DateTime.unsafeMake("2026-02-19T10:30:00.250Z")

// Not by the schema's constructor, which costs more than all that comes after it.
const line = (seq: number, text: string, more: Partial<LogLine> = {}): LogLine => ({
  _tag: "Line",
  ...{ seq, time, stream: "stdout", source: "primary", bytes: Buffer.from(text, "latin1"), partial: false },
  ...more
})

const stored = (command: ReadonlyArray<string>): ReadonlyArray<LogEntry> => [
  line(1, "one"),
  line(2, "two", { source: "exec", execId: "e1" }),
  line(3, "three", { source: "system", stream: "stderr" }),
  line(4, "four", { stream: "stderr" }),
  line(5, "five", { source: "exec", execId: "e1", stream: "stderr" }),
  LogGap.make({ fromSeq: 6, toSeq: 7, lostEntries: 2, time, reason: "dropped" }),
  line(8, "\xff\x00\x1b[2J"),
  ...(command[0] === "chatter"
    ? Array.from({ length: Number(command[1]) }, (_, at) => line(9 + at, `line ${at}`))
    : []),
  line(1_000_000_000, "$ ", { partial: true })
]

/** Every query is a line of the file `log-queries`. */
export const logs = (target: string, query: LogQuery) =>
  Stream.unwrap(
    Effect.gen(function* () {
      appendFileSync(`${process.env["AEGIS_HOME"]}/log-queries`, `${JSON.stringify(query)}\n`)
      const { instance } = yield* find(target)
      if (query.grep === "(") {
        return yield* new InvalidArgument({ argument: "grep", reason: "it is no expression", remedy: "close it" })
      }
      const entries = stored(instance.command).filter(
        (entry) =>
          (entry._tag === "Gap" || (query.sources ?? [entry.source]).includes(entry.source)) &&
          (entry._tag === "Gap" ? entry.toSeq : entry.seq) > (query.after ?? -1)
      )
      const past = Stream.fromIterable(entries.slice(query.tail === undefined ? 0 : -query.tail))
      if (query.follow !== true) return Stream.rechunk(past, 512)
      const live: Stream.Stream<LogEntry> =
        instance.command[1] === "noisily"
          ? Stream.repeatValue(line(1_000_000_001, "y"))
          : Stream.make(line(1_000_000_001, "now"))
      const deleted = watch.pipe(Stream.filter((change) => change.id === instance.id && change.instance === undefined))
      return past.pipe(Stream.concat(live), Stream.concat(Stream.drain(Stream.take(deleted, 1))))
    })
  )
