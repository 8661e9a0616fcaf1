/**
 * The files behind a writer: the segment that is appended to, the next one, and the oldest that go.
 */
import * as Data from "effect/Data"
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { BatchEncoder, carryBound, type OpenLine } from "./BatchEncoder.ts"
import type { InstanceLog } from "./InstanceLog.ts"
import { Segment, segmentName } from "./Segment.ts"
import { encodeStart, startBytes } from "./SegmentFormat.ts"

export interface LogLimits {
  /** A segment that has reached this is followed by the next one. */
  readonly segmentBytes: number
  /** All segments of one instance together; the oldest go first. */
  readonly capBytes: number
}

/** The log's directory was removed under us (T-276): it has to be made anew, and the call repeated. */
export class DirectoryGone extends Data.TaggedError("DirectoryGone")<{}> {}

interface Active {
  readonly segment: Segment
  readonly handle: fs.FileHandle
  readonly inode: number
  /** Where its first record of its own is: nothing is gained by leaving a segment that has none. */
  readonly body: number
}

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants

/** How often the file is looked for under its name, milliseconds. */
const lookEvery = 1000

/** Not for concurrent use: its writer's lock guards it. */
export class SegmentAppender {
  readonly #log: InstanceLog
  readonly #limits: LogLimits
  #active: Active | undefined
  #looked = 0
  /** The last segment that was left, being synced: at most one at a time. */
  #leaving: Promise<void> = Promise.resolve()

  constructor(log: InstanceLog, limits: LogLimits) {
    this.#log = log
    this.#limits = limits
  }

  /** Goes on in the last segment, cut to its last whole record, where that is possible. */
  async open(): Promise<void> {
    const segment = this.#log.segments.at(-1)
    if (segment === undefined || segment.index !== this.#log.nextIndex - 1) return
    const handle = await fs.open(segment.file, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
    if (handle === undefined) return
    const found = await handle.stat()
    if (!found.isFile() || found.size < segment.end) return handle.close()
    if (found.size > segment.end) await handle.truncate(segment.end)
    this.#active = { segment, handle, inode: found.ino, body: startBytes }
  }

  /** The segment to append to, with room for so many bytes; a new one where the last is full or is not in its place any more. */
  async room(bytes: number, now: number, lines: ReadonlyMap<string, OpenLine>): Promise<Segment> {
    const active = this.#active
    if (active !== undefined) {
      const { body, segment } = active
      if (!(await this.#stands(active, now))) this.#leave()
      else if (segment.end <= body || segment.end + bytes <= this.#limits.segmentBytes) return segment
    }
    return this.#begin(bytes, now, lines)
  }

  /** Appends to the segment that `room` gave: all of it, or nothing. */
  async append(bytes: Buffer): Promise<void> {
    const active = this.#active
    if (active === undefined) throw new Error("no segment is open")
    try {
      await writeAll(active.handle, bytes)
    } catch (error) {
      // What is not cut off now would stand before the next record: then the segment is left.
      await active.handle.truncate(active.segment.end).catch(() => this.#leave())
      throw error
    }
    active.segment.grew(bytes)
  }

  /** Syncs and closes. */
  async close(): Promise<void> {
    this.#leave()
    await this.#leaving
  }

  /** Whether what is appended can be found again: not where the file was removed, replaced or cut under us (T-293). */
  async #stands({ inode, segment }: Active, now: number): Promise<boolean> {
    if (now >= this.#looked && now - this.#looked < lookEvery) return true
    this.#looked = now
    const found = await fs.lstat(segment.file).catch(() => undefined)
    return found?.ino === inode && found.size === segment.end
  }

  async #begin(bytes: number, now: number, lines: ReadonlyMap<string, OpenLine>): Promise<Segment> {
    const { state } = this.#log
    const index = this.#log.nextIndex
    const file = path.join(this.#log.directory, segmentName(index))
    const mark = randomBytes(4).readUInt32LE()
    const { bytes: before, entries, guestSeq, latest } = state
    const start = { mark, entries, bytes: before, guestSeq, latest, created: Math.max(0, now) }
    const buffer = Buffer.allocUnsafeSlow(startBytes + carryBound(lines.values()))
    encodeStart(start).copy(buffer)
    const carried = new BatchEncoder(buffer.subarray(startBytes), mark, now, state, lines)
    carried.carry()
    const body = startBytes + carried.length
    this.#log.nextIndex = index + 1
    const handle = await this.#create(file)
    const segment = new Segment(index, file, start, body)
    try {
      await writeAll(handle, buffer.subarray(0, body))
      await this.#leaving
      this.#leave()
      this.#active = { segment, handle, inode: (await handle.stat()).ino, body }
    } catch (error) {
      await handle.close()
      await fs.rm(file, { force: true })
      throw error
    }
    this.#looked = now
    this.#log.segments = [...this.#log.segments, segment]
    await this.#drop(bytes)
    return segment
  }

  #create(file: string): Promise<fs.FileHandle> {
    // O_EXCL: what stands there already, a symlink or a FIFO, is not opened.
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW
    return fs.open(file, flags, 0o600).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ENOENT" ? new DirectoryGone() : error
    })
  }

  #leave(): void {
    const active = this.#active
    this.#active = undefined
    if (active === undefined) return
    const synced = active.handle.datasync().catch(() => undefined)
    this.#leaving = Promise.all([this.#leaving, synced]).then(() => active.handle.close())
  }

  /** Removes the oldest segments until a whole one more fits under the cap. Readers that are in one of them still read it to its end. */
  async #drop(bytes: number): Promise<void> {
    const room = this.#limits.capBytes - Math.max(this.#limits.segmentBytes, bytes)
    const closed = this.#log.segments.slice(0, -1)
    let total = closed.reduce((sum, { end }) => sum + end, 0)
    for (const segment of closed) {
      if (total <= room) return
      const removed = await fs.rm(segment.file, { force: true }).then(
        () => true,
        () => false
      )
      // It is tried again with the next segment: over the cap is better than not to write.
      if (!removed) return
      total -= segment.end
      this.#log.segments = this.#log.segments.filter((other) => other !== segment)
    }
  }
}

const writeAll = async (handle: fs.FileHandle, bytes: Buffer): Promise<void> => {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written)
    written += bytesWritten
  }
}
