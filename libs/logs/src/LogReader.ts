/**
 * One reader's way through an instance's log.
 */
import type { LogEntry } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import type { InstanceLog } from "./InstanceLog.ts"
import type { LogFilter } from "./LogFilter.ts"
import type { Segment } from "./Segment.ts"
import type { Place } from "./SegmentDecoder.ts"

/**
 * Where a reader begins: behind the entry `after`, in the segment that holds the next one, or, where that is gone, with a gap.
 *
 * @param since no entry before this time is wanted, milliseconds: whole segments before it are passed over.
 */
export interface Beginning {
  readonly after: number
  readonly since: number
}

export class LogReader {
  readonly #log: InstanceLog
  readonly #after: number
  #segment: Segment | undefined
  #place: Place | undefined
  /** What has been read up to, where no segment is entered yet. */
  readonly #known: { readonly entries: number; readonly bytes: number | undefined }

  constructor(log: InstanceLog, { after, since }: Beginning) {
    this.#log = log
    this.#after = after
    const begun = log.segments.findLast(
      ({ start }, index) => index > 0 && (start.entries <= after || start.latest < since)
    )
    const [first] = log.segments
    if (begun !== undefined) this.#enter(begun)
    else if (first !== undefined && first.start.entries <= after) this.#enter(first)
    this.#known = { entries: after, bytes: after === 0 ? 0 : undefined }
  }

  /** Whether there is something to read now. */
  get ready(): boolean {
    if (this.#segment !== undefined && this.#place !== undefined && this.#place.offset < this.#segment.end) return true
    return this.#next() !== undefined
  }

  /** Whether everything up to the log's present end has been read, given as its last segment and that one's end. */
  passed(end: { readonly index: number; readonly offset: number }): boolean {
    if (this.#segment === undefined || this.#place === undefined) return end.index === 0
    return this.#segment.index > end.index || (this.#segment.index === end.index && this.#place.offset >= end.offset)
  }

  /** The next entries; to be called when `ready` says so. May be none. */
  async read(): Promise<ReadonlyArray<LogEntry>> {
    const segment = this.#segment
    const place = this.#place
    if (segment === undefined || place === undefined || place.offset >= segment.end) {
      const next = this.#next()
      return next === undefined ? [] : this.#cross(next)
    }
    const batch = await segment.batch(place)
    this.#place = batch.place
    const [first] = batch.entries
    if (first === undefined || (first._tag === "Line" && first.seq > this.#after)) return batch.entries
    return batch.entries.filter((entry) => (entry._tag === "Line" ? entry.seq : entry.toSeq) > this.#after)
  }

  async close(): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    await segment?.release()
  }

  #next(): Segment | undefined {
    const index = this.#segment?.index ?? -1
    return this.#log.segments.find((segment) => segment.index > index)
  }

  /** From one segment into the next that there is. What was between them, or was not to be read any more, is a gap. */
  async #cross(next: Segment): Promise<ReadonlyArray<LogEntry>> {
    const { bytes, entries } = this.#place ?? this.#known
    const { start } = next
    const left = this.#segment
    this.#enter(next)
    await left?.release()
    if (start.entries <= entries && (bytes === undefined || start.bytes <= bytes)) return []
    return [
      {
        _tag: "Gap",
        fromSeq: entries + 1,
        toSeq: start.entries,
        lostEntries: Math.max(0, start.entries - entries),
        ...(bytes === undefined ? {} : { lostBytes: Math.max(0, start.bytes - bytes) }),
        time: DateTime.unsafeMake(start.latest),
        reason: next === this.#log.segments[0] ? "dropped" : "damaged"
      }
    ]
  }

  #enter(segment: Segment): void {
    segment.retain()
    this.#segment = segment
    this.#place = segment.first
  }
}

/** After which entry the last `count` begin that the filter wants. Reads backwards, a segment at a time, and no more of them than it must. */
export const tailAfter = async (
  log: InstanceLog,
  count: number,
  filter: LogFilter | undefined,
  { after, since }: Beginning
): Promise<number> => {
  const { entries } = log.state
  if (filter === undefined || count === 0) return Math.max(after, entries - count)
  let wanted = count
  for (const segment of log.segments.toReversed()) {
    if (segment.end === segment.first.offset) continue
    const found = await matching(segment, (entry) => entry.seq > after && filter(entry), Infinity)
    if (found.count >= wanted) {
      return (await matching(segment, (entry) => entry.seq > after && filter(entry), found.count - wanted + 1)).seq - 1
    }
    wanted -= found.count
    if (segment.start.entries <= after || segment.start.latest < since) return Math.max(after, segment.start.entries)
  }
  return after
}

/** How many lines of a segment are wanted, and the number of the last one of the first `limit`. */
const matching = async (
  segment: Segment,
  wants: (entry: Extract<LogEntry, { _tag: "Line" }>) => boolean,
  limit: number
): Promise<{ readonly count: number; readonly seq: number }> => {
  const { end } = segment
  let place = segment.first
  let count = 0
  segment.retain()
  try {
    while (place.offset < end) {
      const batch = await segment.batch(place)
      for (const entry of batch.entries) {
        if (entry._tag === "Gap" || !wants(entry)) continue
        count += 1
        if (count >= limit) return { count, seq: entry.seq }
      }
      place = batch.place
    }
    return { count, seq: segment.start.entries }
  } finally {
    await segment.release()
  }
}
