/**
 * One instance's log as the daemon knows it: its segments and what has been written up to now. Shared by its writer and its readers.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import type { Place } from "./SegmentDecoder.ts"
import { Segment, segmentIndex } from "./Segment.ts"
import { startBytes } from "./SegmentFormat.ts"

/** What the log has come to: counts, the guest's cursor, the greatest time, and the lines that are unfinished. */
export type LogState = Omit<Place, "offset">

const empty: LogState = { entries: 0, bytes: 0, guestSeq: 0n, latest: 0, fragments: new Map() }

export class InstanceLog {
  readonly directory: string
  /** Oldest first. */
  segments: ReadonlyArray<Segment>
  state: LogState
  /** The next segment's number: greater than that of any file there is. */
  nextIndex: number
  /** Whether there is a writer. */
  writing = false
  /** Set once and for ever: followers end, writers fail. */
  removed = false
  #changed: Deferred.Deferred<void> | undefined

  private constructor(directory: string, segments: ReadonlyArray<Segment>, state: LogState, nextIndex: number) {
    this.directory = directory
    this.segments = segments
    this.state = state
    this.nextIndex = nextIndex
  }

  /** Reads what is there and changes nothing. A torn last record is not counted: the next writer cuts it off. */
  static async load(directory: string): Promise<InstanceLog> {
    const files = await segmentFiles(directory)
    const found = await Promise.all(files.map(({ index, name }) => Segment.find(index, path.join(directory, name))))
    const segments = found.filter((segment) => segment !== undefined)
    const nextIndex = Math.max(0, ...files.map(({ index }) => index)) + 1
    const last = segments.at(-1)
    return new InstanceLog(directory, segments, last === undefined ? empty : await recover(last), nextIndex)
  }

  /** Wakes whoever waits for something new. */
  notify(): void {
    const changed = this.#changed
    this.#changed = undefined
    if (changed !== undefined) Deferred.unsafeDone(changed, Effect.void)
  }

  /** Succeeds at the next `notify`. To be taken in the same turn as the look at what there is. */
  get changed(): Effect.Effect<void> {
    this.#changed ??= Deferred.unsafeMake(FiberId.none)
    return Deferred.await(this.#changed)
  }
}

const segmentFiles = async (directory: string) => {
  const names = await fs.readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return []
    throw error
  })
  return names
    .flatMap((name) => {
      const index = segmentIndex(name)
      return index === undefined ? [] : [{ index, name }]
    })
    .sort((a, b) => a.index - b.index)
}

/** Reads a segment through to its last whole record, and sets its end there. */
const recover = async (segment: Segment): Promise<LogState> => {
  segment.retain()
  try {
    let place = segment.first
    let valid = startBytes
    while (place.offset < segment.end) {
      const batch = await segment.batch(place)
      if (batch.valid > place.offset) valid = batch.valid
      place = batch.place
    }
    segment.end = valid
    return place
  } finally {
    await segment.release()
  }
}
