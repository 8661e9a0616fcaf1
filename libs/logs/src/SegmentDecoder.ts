/**
 * From a segment's bytes to entries. Pure: the same bytes at the same place give the same entries to every reader.
 */
import { type LogEntry, type LogGapReason, type LogLine, maxLogLineBytes } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import { cutLines } from "./LineRule.ts"
import { findRecord, type FoundRecord, Kind, maxRecordBytes, type Strand, strandKey } from "./SegmentFormat.ts"

/** The beginning of a line whose end has not come. */
export interface Fragment {
  readonly strand: Strand
  readonly bytes: Uint8Array
}

export type Fragments = ReadonlyMap<string, Fragment>

/** A place in a segment, and all that was before it. */
export interface Place {
  readonly offset: number
  readonly entries: number
  readonly bytes: number
  readonly guestSeq: bigint
  readonly latest: number
  readonly fragments: Fragments
}

export interface Decoded {
  readonly entries: ReadonlyArray<LogEntry>
  /** Where to go on. */
  readonly place: Place
  /** Behind the last whole record, or where decoding began. */
  readonly valid: number
}

/** How many bytes to hand to `decode` at once. */
export const blockBytes = 262_144

/** A batch ends with the record in which it reaches this many entries. */
const batchEntries = 4096

/**
 * Decodes the records in `block`, which begins at `from.offset` and must hold a whole record or reach up to `end`, the end of what
 * is written. What is damaged is skipped, up to the next whole record, and told as a gap when its extent is known.
 */
export const decode = (block: Buffer, from: Place, mark: number, end: number): Decoded => {
  const entries: Array<LogEntry> = []
  const state = new Decoding(from, block, entries)
  const toTheEnd = from.offset + block.length >= end
  let at = 0
  let valid = 0
  while (at < block.length && entries.length < batchEntries) {
    const record = findRecord(block, at, mark)
    // A record that is cut off by the block's end is whole in the next block, unless that cannot be.
    if (record === "short" && !toTheEnd && block.length - at < maxRecordBytes) break
    if (record === undefined || record === "short" || state.knows(record)) {
      at = nextMark(block, at + 1, mark, toTheEnd)
      continue
    }
    state.take(record)
    at = valid = record.end
  }
  return { entries, place: state.place(from.offset + at), valid: from.offset + valid }
}

/** Where the mark stands next. Where it does not, all is skipped but for what could be a mark's beginning. */
const nextMark = (block: Buffer, from: number, mark: number, toTheEnd: boolean) => {
  const wanted = Buffer.alloc(4)
  wanted.writeUInt32LE(mark)
  const found = block.indexOf(wanted, from)
  if (found >= 0) return found
  return toTheEnd ? block.length : Math.max(from, block.length - 3)
}

class Decoding {
  readonly #block: Buffer
  readonly #out: Array<LogEntry>
  #entries: number
  #bytes: number
  #guestSeq: bigint
  #latest: number
  /** The parts of unfinished lines, views of this block among them. */
  readonly #pieces: Map<string, { readonly strand: Strand; readonly pieces: Array<Uint8Array>; length: number }>

  constructor(from: Place, block: Buffer, out: Array<LogEntry>) {
    this.#block = block
    this.#out = out
    this.#entries = from.entries
    this.#bytes = from.bytes
    this.#guestSeq = from.guestSeq
    this.#latest = from.latest
    this.#pieces = new Map()
    for (const [key, { bytes, strand }] of from.fragments) {
      this.#pieces.set(key, { strand, pieces: [bytes], length: bytes.length })
    }
  }

  /** Whether it stands where it was not written: its numbers lie behind us. */
  knows({ bytes, entries }: FoundRecord): boolean {
    return entries < this.#entries || bytes < this.#bytes
  }

  take(record: FoundRecord): void {
    const { end, kind, payload, strand, time } = record
    this.#arrive(record.entries, record.bytes, time, "damaged")
    this.#latest = Math.max(this.#latest, time)
    if (record.guestSeq !== 0n || kind === Kind.guest) this.#guestSeq = record.guestSeq
    switch (kind) {
      case Kind.data: {
        this.#cut(record)
        this.#bytes += end - payload
        return
      }
      case Kind.cut: {
        this.#line(strand, DateTime.unsafeMake(time), this.#whole(strandKey(strand), record.held), true)
        this.#pieces.delete(strandKey(strand))
        return
      }
      case Kind.carry: {
        const bytes = this.#view(payload, end)
        this.#pieces.set(strandKey(strand), { strand, pieces: [bytes], length: bytes.length })
        return
      }
      case Kind.lost: {
        const lostEntries = this.#block.readUIntLE(payload, 6)
        const lostBytes = this.#block.readUIntLE(payload + 6, 6)
        return this.#arrive(this.#entries + lostEntries, this.#bytes + lostBytes, time, "discarded")
      }
      case Kind.guest:
        return
    }
  }

  /** What is kept of the block's unfinished lines is copied: a view would hold the whole block in memory. */
  place(offset: number): Place {
    const fragments = new Map<string, Fragment>()
    for (const [key, { pieces, strand }] of this.#pieces) {
      const bytes = joined(pieces)
      fragments.set(key, { strand, bytes: bytes.buffer === this.#block.buffer ? new Uint8Array(bytes) : bytes })
    }
    return {
      offset,
      entries: this.#entries,
      bytes: this.#bytes,
      guestSeq: this.#guestSeq,
      latest: this.#latest,
      fragments
    }
  }

  /** The numbers that the writer had reached tell what is missing before them. */
  #arrive(entries: number, bytes: number, time: number, reason: LogGapReason): void {
    if (entries > this.#entries || bytes > this.#bytes) {
      this.#out.push({
        _tag: "Gap",
        fromSeq: this.#entries + 1,
        toSeq: entries,
        lostEntries: entries - this.#entries,
        lostBytes: Math.max(0, bytes - this.#bytes),
        time: DateTime.unsafeMake(time),
        reason
      })
    }
    this.#entries = entries
    this.#bytes = bytes
  }

  #cut({ end, held, payload, strand, time }: FoundRecord): void {
    const key = strandKey(strand)
    const bytes = this.#block.subarray(payload, end)
    const at = DateTime.unsafeMake(time)
    let head = this.#whole(key, held)
    const rest = cutLines(bytes, held, (from, to, partial) => {
      const tail = this.#view(payload + from, payload + to)
      this.#line(strand, at, head === undefined ? tail : joined([head, tail]), partial)
      head = undefined
    })
    if (rest > 0) this.#pieces.delete(key)
    if (rest === bytes.length) return
    const piece = this.#view(payload + rest, end)
    const open = this.#pieces.get(key)
    if (open === undefined) this.#pieces.set(key, { strand, pieces: [piece], length: piece.length })
    else {
      open.pieces.push(piece)
      open.length += piece.length
    }
  }

  /** The line's beginning, if there is one. What is not as long as the writer held is of another line: its rest is lost. */
  #whole(key: string, held: number): Uint8Array | undefined {
    const open = this.#pieces.get(key)
    if (open === undefined || open.length === 0) return undefined
    if (open.length === held) return joined(open.pieces)
    this.#pieces.delete(key)
    return undefined
  }

  #line(strand: Strand, time: DateTime.Utc, bytes: Uint8Array | undefined, partial: boolean): void {
    this.#entries += 1
    const line: LogLine = {
      _tag: "Line",
      seq: this.#entries,
      time,
      stream: strand.stream,
      source: strand.source,
      bytes: bytes ?? nothing,
      partial
    }
    this.#out.push(strand.execId === "" ? line : { ...line, execId: strand.execId })
  }

  #view(from: number, to: number): Uint8Array {
    return new Uint8Array(this.#block.buffer, this.#block.byteOffset + from, to - from)
  }
}

const nothing = new Uint8Array(0)

/** Lines are at most 64 KiB: so is what is joined here. */
const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = pieces
  if (pieces.length === 1 && only !== undefined) return only
  const bytes = new Uint8Array(
    Math.min(
      maxLogLineBytes,
      pieces.reduce((sum, piece) => sum + piece.length, 0)
    )
  )
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}
