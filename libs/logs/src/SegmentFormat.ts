/**
 * The bytes of a segment file, version 1. All numbers are unsigned and little-endian.
 *
 * A segment begins with its start, 64 bytes:
 *
 *     0   8  "AEGISLOG"
 *     8   4  version, 1
 *     12  4  mark: a random number that begins each record of this segment
 *     16  8  entries before this segment: the first one here has the next number
 *     24  8  bytes of output before this segment
 *     32  8  the guest's cursor before this segment
 *     40  8  the greatest time before this segment, milliseconds since the epoch
 *     48  8  when it was begun
 *     56  4  zero
 *     60  4  CRC-32 of the 60 bytes before
 *
 * Records follow without a space between them:
 *
 *     0   4  the segment's mark
 *     4   4  CRC-32, begun with the mark, of everything behind it to the record's end
 *     8   4  length of the payload, at most 65536
 *     12  1  kind: 1 data, 2 cut, 3 carry, 4 lost, 5 guest
 *     13  1  stream: 1 stdout, 2 stderr
 *     14  1  source: 1 primary, 2 exec, 3 system
 *     15  1  length of the exec's id
 *     16  6  time, milliseconds since the epoch
 *     22  6  entries before this record
 *     28  6  bytes of output before this record
 *     34  2  how many bytes of this stream's unfinished line came before this record
 *     36  8  the guest's sequence number of the last frame in this record; 0: none
 *     44  …  the exec's id, then the payload
 *
 * - data: bytes as they came. Entries are cut from them by `LineRule`; no entry has a record of its own.
 * - cut: the stream's unfinished line ends here, as a partial entry.
 * - carry: first in a segment, the bytes of a line that is unfinished at its beginning. They are in the segment before as well; with them a
 *   segment can be read without another.
 * - lost: entries that were never stored; the payload is their number and their bytes, 6 bytes each.
 * - guest: the guest's cursor is set, also back to 0: another guest counts anew.
 *
 * The mark is secret from whoever writes the output: after a damaged place, reading goes on at the next mark whose record's CRC is right,
 * and no output can pass for a record.
 */
import type { LogSource, OutputStream } from "@aegis/domain"
import { crc32 } from "node:zlib"

export const startBytes = 64
export const recordBytes = 44
export const maxPayloadBytes = 65_536
/** No record is longer, its exec's id included. */
export const maxRecordBytes = recordBytes + 255 + maxPayloadBytes

export const Kind = { data: 1, cut: 2, carry: 3, lost: 4, guest: 5 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** What was before a segment, and the segment's mark. */
export interface SegmentStart {
  readonly mark: number
  readonly entries: number
  readonly bytes: number
  readonly guestSeq: bigint
  readonly latest: number
  readonly created: number
}

const magic = Buffer.from("AEGISLOG")
const version = 1

export const encodeStart = (start: SegmentStart): Buffer => {
  const bytes = Buffer.alloc(startBytes)
  magic.copy(bytes)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(start.mark, 12)
  bytes.writeBigUInt64LE(BigInt(start.entries), 16)
  bytes.writeBigUInt64LE(BigInt(start.bytes), 24)
  bytes.writeBigUInt64LE(start.guestSeq, 32)
  bytes.writeBigUInt64LE(BigInt(start.latest), 40)
  bytes.writeBigUInt64LE(BigInt(start.created), 48)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60)
  return bytes
}

/** Nothing where these are not the first bytes of a whole segment of this version. */
export const decodeStart = (bytes: Buffer): SegmentStart | undefined => {
  if (bytes.length < startBytes || !bytes.subarray(0, 8).equals(magic) || bytes.readUInt32LE(8) !== version) {
    return undefined
  }
  if (crc32(bytes.subarray(0, 60)) !== bytes.readUInt32LE(60)) return undefined
  return {
    mark: bytes.readUInt32LE(12),
    entries: Number(bytes.readBigUInt64LE(16)),
    bytes: Number(bytes.readBigUInt64LE(24)),
    guestSeq: bytes.readBigUInt64LE(32),
    latest: Number(bytes.readBigUInt64LE(40)),
    created: Number(bytes.readBigUInt64LE(48))
  }
}

/** One of the streams that an instance's log is woven of. */
export interface Strand {
  readonly source: LogSource
  readonly stream: OutputStream
  /** Empty where the source is no exec. */
  readonly execId: string
}

const sources = ["primary", "exec", "system"] as const
const streams = ["stdout", "stderr"] as const

export interface RecordHead {
  readonly kind: Kind
  readonly time: number
  readonly entries: number
  readonly bytes: number
  readonly held: number
  readonly guestSeq: bigint
}

/** A record's head and where its parts are. */
export interface FoundRecord extends RecordHead {
  readonly strand: Strand
  readonly payload: number
  readonly end: number
}

/**
 * Writes a record whose payload stands in `target` already, `payloadAt` = the record's place + 44 + the id's length.
 *
 * @returns where the record ends.
 */
export const sealRecord = (
  target: Buffer,
  at: number,
  mark: number,
  strand: Strand,
  head: RecordHead,
  payloadBytes: number
): number => {
  const idBytes = strand.execId.length
  target.writeUInt32LE(mark, at)
  target.writeUInt32LE(payloadBytes, at + 8)
  target[at + 12] = head.kind
  target[at + 13] = streams.indexOf(strand.stream) + 1
  target[at + 14] = sources.indexOf(strand.source) + 1
  target[at + 15] = idBytes
  target.writeUIntLE(head.time, at + 16, 6)
  target.writeUIntLE(head.entries, at + 22, 6)
  target.writeUIntLE(head.bytes, at + 28, 6)
  target.writeUInt16LE(head.held, at + 34)
  target.writeBigUInt64LE(head.guestSeq, at + 36)
  if (idBytes > 0) target.write(strand.execId, at + recordBytes, "latin1")
  const end = at + recordBytes + idBytes + payloadBytes
  target.writeUInt32LE(crc32(target.subarray(at + 8, end), mark), at + 4)
  return end
}

const unnamed: ReadonlyArray<ReadonlyArray<Strand>> = sources.map((source) =>
  streams.map((stream) => ({ source, stream, execId: "" }))
)

/** The record at `at`; `"short"` where `block` ends before it does, nothing where there is no whole and right record. */
export const findRecord = (block: Buffer, at: number, mark: number): FoundRecord | "short" | undefined => {
  if (block.length - at < recordBytes) return "short"
  if (block.readUInt32LE(at) !== mark) return undefined
  const payloadBytes = block.readUInt32LE(at + 8)
  if (payloadBytes > maxPayloadBytes) return undefined
  const idBytes = block[at + 15] ?? 0
  const payload = at + recordBytes + idBytes
  const end = payload + payloadBytes
  if (end > block.length) return "short"
  if (crc32(block.subarray(at + 8, end), mark) !== block.readUInt32LE(at + 4)) return undefined
  const source = sources[(block[at + 14] ?? 0) - 1]
  const strand = unnamed[(block[at + 14] ?? 0) - 1]?.[(block[at + 13] ?? 0) - 1]
  const kind = block[at + 12]
  if (source === undefined || strand === undefined || !isKind(kind)) return undefined
  return {
    kind,
    strand: idBytes === 0 ? strand : { ...strand, execId: block.toString("latin1", at + recordBytes, payload) },
    time: block.readUIntLE(at + 16, 6),
    entries: block.readUIntLE(at + 22, 6),
    bytes: block.readUIntLE(at + 28, 6),
    held: block.readUInt16LE(at + 34),
    guestSeq: block.readBigUInt64LE(at + 36),
    payload,
    end
  }
}

const isKind = (value: number | undefined): value is Kind => value !== undefined && value >= 1 && value <= 5

/** A strand's name in a map. */
export const strandKey = (strand: Strand): string =>
  strand.source === "exec" ? `${strand.stream} ${strand.execId}` : `${strand.stream}/${strand.source}`
