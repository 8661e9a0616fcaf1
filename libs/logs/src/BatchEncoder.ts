/**
 * From output to the bytes of records. Works on a draft: the log's state changes when the bytes are in the file.
 */
import type { LogSource, OutputStream } from "@aegis/domain"
import type { LogState } from "./InstanceLog.ts"
import { cutLines } from "./LineRule.ts"
import type { Fragment } from "./SegmentDecoder.ts"
import { Kind, maxPayloadBytes, recordBytes, sealRecord, type Strand, strandKey } from "./SegmentFormat.ts"

/** Output as it came: any bytes, lines and parts of lines. */
export interface LogRecord {
  readonly source: LogSource
  /** With `source: "exec"`: which. At most 128 letters, digits, `.`, `_` and `-`. */
  readonly execId?: string
  readonly stream: OutputStream
  readonly bytes: Uint8Array
  /**
   * The guest's sequence number of this frame. What is not greater than the log's cursor has been stored before and is passed over;
   * with no bytes, the cursor alone is stored.
   */
  readonly guestSeq?: bigint
}

export const strandOf = ({ execId, source, stream }: LogRecord): Strand => ({
  source,
  stream,
  execId: source === "exec" ? (execId ?? "") : ""
})

/** Where a line's beginning was written, and when. */
export interface OpenLine extends Fragment {
  readonly since: number
}

/** Entries that could not be stored. */
export interface Lost {
  readonly entries: number
  readonly bytes: number
  readonly guestSeq: bigint
  /** How long the line was that each strand's lost output ended in. */
  readonly strands: ReadonlyMap<string, number>
}

/** Unfinished lines are held in memory and carried into each new segment: more of them are cut, the oldest first. */
const maxOpenLines = 32

const headBytes = recordBytes + 128

/** How many bytes the records of this output have at most. */
export const sizeBound = (records: ReadonlyArray<LogRecord>): number =>
  records.reduce(
    (sum, { bytes }) => sum + bytes.length + (Math.floor(bytes.length / maxPayloadBytes) + 2) * headBytes,
    (maxOpenLines + 2) * headBytes
  )

export const carryBound = (lines: Iterable<OpenLine>): number => {
  let sum = headBytes
  for (const { bytes } of lines) sum += bytes.length + headBytes
  return sum
}

export class BatchEncoder {
  readonly #target: Buffer
  readonly #mark: number
  readonly #time: number
  #at = 0
  #entries: number
  #bytes: number
  #guestSeq: bigint
  #latest: number
  readonly #lines: Map<string, OpenLine>

  /** @param time the host's clock, milliseconds: before 1970 is written as 1970. */
  constructor(target: Buffer, mark: number, time: number, state: LogState, lines: ReadonlyMap<string, OpenLine>) {
    this.#target = target
    this.#mark = mark
    this.#time = Math.max(0, time)
    this.#entries = state.entries
    this.#bytes = state.bytes
    this.#guestSeq = state.guestSeq
    this.#latest = Math.max(state.latest, this.#time)
    this.#lines = new Map(lines)
  }

  /** How much of the target is written. */
  get length(): number {
    return this.#at
  }

  get lines(): ReadonlyMap<string, OpenLine> {
    return this.#lines
  }

  get state(): LogState {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      guestSeq: this.#guestSeq,
      latest: this.#latest,
      fragments: this.#lines
    }
  }

  /** Output of one strand that follows on each other shares its records, up to 64 KiB. */
  data(records: ReadonlyArray<LogRecord>): void {
    let index = 0
    while (index < records.length) {
      const first = records[index]
      if (first === undefined) return
      const strand = strandOf(first)
      const key = strandKey(strand)
      const payload = this.#at + recordBytes + strand.execId.length
      let length = 0
      let guestSeq = 0n
      for (; index < records.length; index++) {
        const record = records[index]
        if (record === undefined || strandKey(strandOf(record)) !== key) break
        if (record.guestSeq !== undefined && record.guestSeq <= (guestSeq || this.#guestSeq)) continue
        if ((length > 0 || guestSeq > 0n) && length + record.bytes.length > maxPayloadBytes) break
        if (record.bytes.length > maxPayloadBytes) {
          this.#large(strand, record)
          index++
          break
        }
        this.#target.set(record.bytes, payload + length)
        length += record.bytes.length
        guestSeq = record.guestSeq ?? guestSeq
      }
      if (length > 0 || guestSeq > 0n) this.#seal(strand, payload, length, guestSeq)
    }
  }

  /** The guest's number goes with the last piece: until that is stored, the frame is not. */
  #large(strand: Strand, { bytes, guestSeq = 0n }: LogRecord): void {
    for (let from = 0; from < bytes.length; from += maxPayloadBytes) {
      const piece = bytes.subarray(from, from + maxPayloadBytes)
      const payload = this.#at + recordBytes + strand.execId.length
      this.#target.set(piece, payload)
      this.#seal(strand, payload, piece.length, from + piece.length === bytes.length ? guestSeq : 0n)
    }
  }

  #seal(strand: Strand, payload: number, length: number, guestSeq: bigint): void {
    const key = strandKey(strand)
    const open = this.#lines.get(key)
    const held = open?.bytes.length ?? 0
    this.#record(Kind.data, strand, held, length, guestSeq)
    const bytes = this.#target.subarray(payload, payload + length)
    const rest = cutLines(bytes, held, () => {
      this.#entries += 1
    })
    this.#bytes += length
    const begun = rest === 0 ? open : undefined
    if (rest > 0) this.#lines.delete(key)
    if (rest === length) return
    const line = new Uint8Array((begun === undefined ? 0 : held) + length - rest)
    if (begun !== undefined) line.set(begun.bytes)
    line.set(bytes.subarray(rest), line.length - (length - rest))
    this.#lines.set(key, { strand, bytes: line, since: begun?.since ?? this.#time })
    const [oldest] = this.#lines.keys()
    if (this.#lines.size > maxOpenLines && oldest !== undefined) this.cut(oldest)
  }

  /** Ends a strand's unfinished line; nothing where it has none. */
  cut(key: string): void {
    const open = this.#lines.get(key)
    if (open === undefined) return
    this.#record(Kind.cut, open.strand, open.bytes.length, 0, 0n)
    this.#entries += 1
    this.#lines.delete(key)
  }

  /** Counts what was never stored. A line that it was a part of is ended before it. */
  lost({ bytes, entries: whole, guestSeq, strands }: Lost): void {
    for (const key of strands.keys()) this.cut(key)
    const entries = whole + [...strands.values()].filter((held) => held > 0).length
    this.#target.writeUIntLE(entries, this.#at + recordBytes, 6)
    this.#target.writeUIntLE(bytes, this.#at + recordBytes + 6, 6)
    this.#record(Kind.lost, system, 0, 12, guestSeq)
    this.#entries += entries
    this.#bytes += bytes
  }

  guest(seq: bigint): void {
    this.#record(Kind.guest, system, 0, 0, seq)
    this.#guestSeq = seq
  }

  /** Repeats the unfinished lines at the beginning of a segment. */
  carry(): void {
    for (const { bytes, strand } of this.#lines.values()) {
      this.#target.set(bytes, this.#at + recordBytes + strand.execId.length)
      this.#record(Kind.carry, strand, 0, bytes.length, 0n)
    }
  }

  #record(kind: Kind, strand: Strand, held: number, payloadBytes: number, guestSeq: bigint): void {
    const head = { kind, time: this.#time, entries: this.#entries, bytes: this.#bytes, held, guestSeq }
    this.#at = sealRecord(this.#target, this.#at, this.#mark, strand, head, payloadBytes)
    if (guestSeq > 0n) this.#guestSeq = guestSeq
  }
}

const system: Strand = { source: "system", stream: "stdout", execId: "" }

/** Adds output that could not be stored to what was lost before it. */
export const addLost = (records: ReadonlyArray<LogRecord>, known: Lost | undefined, cursor: bigint): Lost => {
  let { bytes, entries, guestSeq } = known ?? { bytes: 0, entries: 0, guestSeq: 0n }
  const strands = new Map(known?.strands)
  for (const record of records) {
    if (record.guestSeq !== undefined && record.guestSeq <= (guestSeq || cursor)) continue
    guestSeq = record.guestSeq ?? guestSeq
    if (record.bytes.length === 0) continue
    const key = strandKey(strandOf(record))
    const piece = Buffer.from(record.bytes.buffer, record.bytes.byteOffset, record.bytes.length)
    const held = strands.get(key) ?? 0
    const rest = cutLines(piece, held, () => {
      entries += 1
    })
    strands.set(key, (rest === 0 ? held : 0) + piece.length - rest)
    bytes += piece.length
  }
  return { entries, bytes, guestSeq, strands }
}

/** The lines that a former daemon left unfinished go on. */
export const openLines = (state: LogState, since: number): ReadonlyMap<string, OpenLine> =>
  new Map([...state.fragments].map(([key, fragment]) => [key, { ...fragment, since }]))
