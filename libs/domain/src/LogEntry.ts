/**
 * What an instance's log is made of, how it is asked for, and its form in REST.
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { InstanceId } from "./Ids.ts"
import { OutputStream } from "./Output.ts"

/** Who wrote it: the instance's command, a command run in it by exec, or the daemon itself. Set by the host alone (T-303). */
export const LogSource = Schema.Literal("primary", "exec", "system")
export type LogSource = typeof LogSource.Type

const LogExecId = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9._-]{1,128}$/))

/** An entry's number: from 1, one more each, per instance; it orders the entries where the clock does not (T-304). */
export const LogSeq = Schema.NonNegativeInt
export type LogSeq = typeof LogSeq.Type

/** The longest line of one entry; what is longer comes as several (T-285). */
export const maxLogLineBytes = 65_536

/**
 * A line, without its line feed. `partial`: there was none; what follows from the same source and stream belongs to the same line.
 * All bytes of a stream are its entries' bytes in order, each followed by a line feed unless it is partial.
 * A plain structure and no class: a reader makes hundreds of thousands in a second.
 */
export const LogLine = Schema.TaggedStruct("Line", {
  seq: LogSeq,
  /** The host's clock when the line was complete. */
  time: Schema.DateTimeUtcFromNumber,
  stream: OutputStream,
  source: LogSource,
  execId: Schema.optionalWith(LogExecId, { exact: true }),
  bytes: Schema.Uint8ArrayFromSelf,
  partial: Schema.Boolean
})
export type LogLine = typeof LogLine.Type

/** Why entries are missing: the log's cap, a damaged file, or the disk was full when they came. */
export const LogGapReason = Schema.Literal("dropped", "damaged", "discarded")
export type LogGapReason = typeof LogGapReason.Type

/** Entries that were and are no more. `lostEntries` is 0 where only a part of a line is missing. */
export const LogGap = Schema.TaggedStruct("Gap", {
  fromSeq: LogSeq,
  toSeq: LogSeq,
  lostEntries: Schema.NonNegativeInt,
  /** Bytes of output, line feeds included; absent where only the entries could be counted. */
  lostBytes: Schema.optionalWith(Schema.NonNegativeInt, { exact: true }),
  time: Schema.DateTimeUtcFromNumber,
  reason: LogGapReason
})
export type LogGap = typeof LogGap.Type

export const LogEntry = Schema.Union(LogLine, LogGap)
export type LogEntry = typeof LogEntry.Type

/** Which entries are wanted (T-300). Conditions add up; gaps always come. */
export const LogQuery = Schema.Struct({
  /** Only entries with a greater number: the last one that the caller has seen. */
  after: Schema.optionalWith(LogSeq, { exact: true }),
  /** Of what is stored, only the last so many that meet the other conditions. */
  tail: Schema.optionalWith(Schema.NonNegativeInt, { exact: true }),
  since: Schema.optionalWith(Schema.DateTimeUtcFromNumber, { exact: true }),
  sources: Schema.optionalWith(Schema.NonEmptyArray(LogSource), { exact: true }),
  execId: Schema.optionalWith(LogExecId, { exact: true }),
  /** A regular expression that can be matched in linear time: no look-around, no back-references. */
  grep: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(1024)), { exact: true }),
  /** Whether to go on with what is written from now on, until the log is removed. */
  follow: Schema.optionalWith(Schema.Boolean, { exact: true })
})
export type LogQuery = typeof LogQuery.Type

/** One NDJSON entry of REST (contract D-23): the original's fields, and `seq`, `partial` and `gap` of ours. */
export const RestLogEntry = Schema.Struct({
  ts: Schema.DateTimeUtc,
  seq: LogSeq,
  stream: OutputStream,
  source: Schema.Literal("server", "exec", "system"),
  line: Schema.optionalWith(Schema.String, { exact: true }),
  /** In the place of `line`, where it is not UTF-8. */
  line_base64: Schema.optionalWith(Schema.Uint8ArrayFromBase64, { exact: true }),
  instance_id: InstanceId,
  exec_id: Schema.optionalWith(LogExecId, { exact: true }),
  partial: Schema.optionalWith(Schema.Literal(true), { exact: true }),
  gap: Schema.optionalWith(
    Schema.Struct({
      from_seq: LogSeq,
      to_seq: LogSeq,
      lost_entries: Schema.NonNegativeInt,
      lost_bytes: Schema.optionalWith(Schema.NonNegativeInt, { exact: true }),
      reason: LogGapReason
    }),
    { exact: true }
  )
}).pipe(
  Schema.filter(({ line, line_base64 }) =>
    (line === undefined) === (line_base64 === undefined) ? "one of line and line_base64" : undefined
  )
)
export type RestLogEntry = typeof RestLogEntry.Type

/** A log's entries in the form of REST, for one instance. A gap reads as a system line, for those who look at nothing else. */
export const restLogEntry = (instance: InstanceId): Schema.Schema<LogEntry, typeof RestLogEntry.Encoded> =>
  Schema.transform(RestLogEntry, Schema.typeSchema(LogEntry), {
    strict: true,
    decode: fromRest,
    encode: (entry) => toRest(instance, entry)
  })

// A byte order mark is a part of the line, and what is not UTF-8 must show.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const textOf = (bytes: Uint8Array): { readonly line: string } | { readonly line_base64: Uint8Array } => {
  try {
    return { line: utf8.decode(bytes) }
  } catch {
    return { line_base64: bytes }
  }
}

const toRest = (instance_id: InstanceId, entry: LogEntry): RestLogEntry => {
  if (entry._tag === "Gap") {
    const { fromSeq, lostBytes, lostEntries, reason, time, toSeq } = entry
    const bytes = lostBytes === undefined ? {} : { lost_bytes: lostBytes }
    return {
      ts: time,
      seq: toSeq,
      stream: "stderr",
      source: "system",
      line: describeGap(entry),
      instance_id,
      gap: { from_seq: fromSeq, to_seq: toSeq, lost_entries: lostEntries, ...bytes, reason }
    }
  }
  return {
    ts: entry.time,
    seq: entry.seq,
    stream: entry.stream,
    source: entry.source === "primary" ? "server" : entry.source,
    ...textOf(entry.bytes),
    instance_id,
    ...(entry.execId === undefined ? {} : { exec_id: entry.execId }),
    ...(entry.partial ? { partial: true } : {})
  }
}

const fromRest = (rest: RestLogEntry): LogEntry => {
  if (rest.gap !== undefined) {
    const { from_seq, lost_bytes, lost_entries, reason, to_seq } = rest.gap
    const bytes = lost_bytes === undefined ? {} : { lostBytes: lost_bytes }
    return LogGap.make({ fromSeq: from_seq, toSeq: to_seq, lostEntries: lost_entries, ...bytes, time: rest.ts, reason })
  }
  return LogLine.make({
    seq: rest.seq,
    time: rest.ts,
    stream: rest.stream,
    source: rest.source === "server" ? "primary" : rest.source,
    ...(rest.exec_id === undefined ? {} : { execId: rest.exec_id }),
    bytes: rest.line_base64 ?? encoder.encode(rest.line),
    partial: rest.partial ?? false
  })
}

/** One sentence for a person: what is missing from the log, and why. */
export const describeGap = ({ fromSeq, lostBytes, lostEntries, reason, toSeq }: LogGap): string => {
  const which = lostEntries === 0 ? "a part of a line" : `${lostEntries} entries (${fromSeq} to ${toSeq})`
  const size = lostBytes === undefined ? "" : `, ${lostBytes} bytes`
  const why = { dropped: "the log had reached its cap", damaged: "its file is damaged", discarded: "the disk was full" }
  return `${which}${size} missing: ${why[reason]}`
}

/** An entry's time in milliseconds since the epoch. */
export const logTime = (entry: LogEntry): number => DateTime.toEpochMillis(entry.time)
