/**
 * A segment's file, as readers see it.
 */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { blockBytes, decode, type Decoded, type Place } from "./SegmentDecoder.ts"
import { decodeStart, type SegmentStart, startBytes } from "./SegmentFormat.ts"

/** `00000001.log` is the first. */
export const segmentName = (index: number): string => `${String(index).padStart(8, "0")}.log`

export const segmentIndex = (name: string): number | undefined =>
  /^[0-9]{8,12}\.log$/.test(name) ? Number.parseInt(name, 10) : undefined

/** A file that has gone, or that something else stands in the place of, is damage like any other: what was in it is a gap (T-293). */
const goneCodes = ["ENOENT", "ELOOP", "ENXIO", "ENOTDIR", "EISDIR", "EIO"]

const openForReading = async (file: string): Promise<fs.FileHandle | undefined> => {
  try {
    // No symlink is followed and no FIFO waited for.
    const handle = await fs.open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
    return undefined
  } catch (error) {
    if (error instanceof Error && "code" in error && goneCodes.includes(String(error.code))) return undefined
    throw error
  }
}

/** Batches that several readers of one place share. */
const sharedBatches = 4

export class Segment {
  readonly index: number
  readonly file: string
  readonly start: SegmentStart
  /** Up to here whole records are written. Grows while it is the last one. */
  end: number
  #users = 0
  #handle: Promise<fs.FileHandle | undefined> | undefined
  /** What was appended last, while there are readers: those who wait for it need not fetch it from the file. */
  #newest: { readonly offset: number; readonly bytes: Buffer } | undefined
  #shared: Array<{ readonly offset: number; readonly batch: Promise<Decoded> }> = []

  constructor(index: number, file: string, start: SegmentStart, end: number) {
    this.index = index
    this.file = file
    this.start = start
    this.end = end
  }

  /** The segment in this file, up to the file's end; nothing where there is none. */
  static async find(index: number, file: string): Promise<Segment | undefined> {
    const handle = await openForReading(file)
    if (handle === undefined) return undefined
    try {
      const bytes = Buffer.alloc(startBytes)
      const { bytesRead } = await handle.read(bytes, 0, startBytes, 0)
      const start = decodeStart(bytes.subarray(0, bytesRead))
      return start && new Segment(index, file, start, (await handle.stat()).size)
    } finally {
      await handle.close()
    }
  }

  /** The first record's place: all that is known there comes from the segment's start. */
  get first(): Place {
    const { bytes, entries, guestSeq, latest } = this.start
    return { offset: startBytes, entries, bytes, guestSeq, latest, fragments: new Map() }
  }

  /** From here to the matching `release` the file stays open, one descriptor for all readers. It stays readable when it is unlinked. */
  retain(): void {
    this.#users += 1
  }

  async release(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    const handle = this.#handle
    this.#handle = undefined
    this.#shared = []
    this.#newest = undefined
    await (await handle?.catch(() => undefined))?.close()
  }

  /** The writer says that these whole records stand at the file's end now. */
  grew(bytes: Buffer): void {
    const keep = this.#users > 0 && bytes.length <= blockBytes
    this.#newest = keep ? { offset: this.end, bytes: copy(bytes) } : undefined
    this.end += bytes.length
  }

  /** The next entries from `place`, which must lie before `end`. Always gets further. */
  batch(place: Place): Promise<Decoded> {
    const known = this.#shared.find(({ offset }) => offset === place.offset)
    if (known !== undefined) return known.batch
    const batch = this.#decode(place)
    if (this.#users > 1) {
      const shared = { offset: place.offset, batch }
      this.#shared.push(shared)
      if (this.#shared.length > sharedBatches) this.#shared.shift()
      batch.catch(() => {
        this.#shared = this.#shared.filter((other) => other !== shared)
      })
    }
    return batch
  }

  async #decode(place: Place): Promise<Decoded> {
    const end = this.end
    if (this.#newest?.offset === place.offset) return decode(this.#newest.bytes, place, this.start.mark, end)
    const block = Buffer.allocUnsafeSlow(Math.min(blockBytes, end - place.offset))
    const read = await this.#read(block, place.offset)
    // Shorter than what was written: the rest of it has gone.
    if (read === 0) return { entries: [], place: { ...place, offset: end }, valid: place.offset }
    return decode(block.subarray(0, read), place, this.start.mark, read < block.length ? place.offset + read : end)
  }

  async #read(block: Buffer, offset: number): Promise<number> {
    this.#handle ??= openForReading(this.file)
    const handle = await this.#handle.catch((error: unknown) => {
      this.#handle = undefined
      throw error
    })
    if (handle === undefined) return 0
    let read = 0
    while (read < block.length) {
      const { bytesRead } = await handle.read(block, read, block.length - read, offset + read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return read
  }
}

/** In memory of its own: entries are views of it, and a buffer of Node's pool would be held whole. */
const copy = (bytes: Buffer): Buffer => {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  own.set(bytes)
  return own
}
