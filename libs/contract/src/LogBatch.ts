/**
 * Entries of a log as they travel to a client: many in one piece of bytes, since a client may ask for a million of them. Numbers are unsigned
 * and little-endian. One entry is
 *
 *     0   1  1 for a line without its line feed, 2 for standard error, 4 and 8 the source: 0 primary, 4 exec, 8 system; 16 for a gap
 *     1   1  length of the exec's id
 *     2   6  its number
 *     8   6  its time, milliseconds since the epoch
 *     14  4  length of its bytes
 *     18  …  the exec's id, then its bytes; of a gap, JSON
 */
import { type LogEntry, LogGap, type LogLine } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

const headBytes = 18
const partialBit = 1
const stderrBit = 2
const sourceShift = 2
const gapBit = 16

const sources = ["primary", "exec", "system"] as const
const GapText = Schema.parseJson(LogGap)
const encodeGap = Schema.encodeSync(GapText)
const decodeGap = Schema.decodeUnknownSync(GapText)

const encode = (entries: ReadonlyArray<LogEntry>): Uint8Array => {
  const gaps = new Map<LogEntry, Buffer>()
  let size = 0
  for (const entry of entries) {
    if (entry._tag === "Gap") gaps.set(entry, Buffer.from(encodeGap(entry)))
    size += headBytes + (entry._tag === "Gap" ? 0 : (entry.execId?.length ?? 0) + entry.bytes.length)
  }
  for (const text of gaps.values()) size += text.length
  const target = Buffer.allocUnsafe(size)
  let at = 0
  for (const entry of entries) {
    const gap = entry._tag === "Gap"
    const bytes = gap ? (gaps.get(entry) ?? nothing) : entry.bytes
    const execId = gap ? "" : (entry.execId ?? "")
    target[at] = gap ? gapBit : flagsOf(entry)
    target[at + 1] = execId.length
    target.writeUIntLE(gap ? entry.toSeq : entry.seq, at + 2, 6)
    target.writeUIntLE(Math.max(0, DateTime.toEpochMillis(entry.time)), at + 8, 6)
    target.writeUInt32LE(bytes.length, at + 14)
    target.write(execId, at + headBytes, "latin1")
    target.set(bytes, at + headBytes + execId.length)
    at += headBytes + execId.length + bytes.length
  }
  return target
}

const nothing = Buffer.alloc(0)

const flagsOf = ({ partial, source, stream }: LogLine) =>
  (partial ? partialBit : 0) + (stream === "stderr" ? stderrBit : 0) + (sources.indexOf(source) << sourceShift)

/** The entries' bytes are views of `bytes`. Throws where it does not hold whole entries. */
const decode = (bytes: Uint8Array): ReadonlyArray<LogEntry> => {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries: Array<LogEntry> = []
  // Lines that came together have one time; making it costs more than all else.
  let time = DateTime.unsafeMake(0)
  let at = 0
  while (at < from.length) {
    const flags = from.readUInt8(at)
    const idAt = at + headBytes
    const bytesAt = idAt + from.readUInt8(at + 1)
    const end = bytesAt + from.readUInt32LE(at + 14)
    if (end > from.length) throw new RangeError("an entry is cut off")
    if (flags === gapBit) entries.push(decodeGap(from.toString("utf8", bytesAt, end)))
    else {
      const source = sources[flags >> sourceShift]
      const millis = from.readUIntLE(at + 8, 6)
      if (millis !== time.epochMillis) time = DateTime.unsafeMake(millis)
      if (source === undefined) throw new RangeError(`an entry of the kind ${flags}`)
      const line: LogLine = {
        _tag: "Line",
        seq: from.readUIntLE(at + 2, 6),
        time,
        stream: (flags & stderrBit) === 0 ? "stdout" : "stderr",
        source,
        bytes: new Uint8Array(from.buffer, from.byteOffset + bytesAt, end - bytesAt),
        partial: (flags & partialBit) !== 0
      }
      entries.push(bytesAt === idAt ? line : { ...line, execId: from.toString("latin1", idAt, bytesAt) })
    }
    at = end
  }
  return entries
}

/** They were made by the log store, or by `decode`: a schema that looks at each of them would cost more than all else that is done with them. */
const Entries = Schema.declare((value: unknown): value is ReadonlyArray<LogEntry> => Array.isArray(value))

/** Entries in order. Their bytes are views: whoever keeps one keeps the whole piece. */
export const LogBatch: Schema.Schema<ReadonlyArray<LogEntry>, Uint8Array> = Schema.transformOrFail(
  Schema.Uint8ArrayFromSelf,
  Entries,
  {
    strict: true,
    decode: (bytes, _, ast) =>
      Effect.try({ try: () => decode(bytes), catch: (error) => new ParseResult.Type(ast, bytes, String(error)) }),
    encode: (entries) => ParseResult.succeed(encode(entries))
  }
)

/** A stream's chunk as one batch; none where it is empty. */
export const inBatches = (entries: Chunk.Chunk<LogEntry>): Chunk.Chunk<ReadonlyArray<LogEntry>> =>
  Chunk.isEmpty(entries) ? Chunk.empty() : Chunk.of(Chunk.toReadonlyArray(entries))
