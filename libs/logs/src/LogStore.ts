/**
 * The logs of all instances: written once, read by many, kept up to a cap (S-159 to S-170).
 */
import { type InstanceId, InvalidArgument, type LogEntry, type LogQuery, LogUnavailable } from "@aegis/domain"
import { AegisPaths, Directories } from "@aegis/host"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InstanceLog } from "./InstanceLog.ts"
import * as LogFilter from "./LogFilter.ts"
import { LogReader, tailAfter } from "./LogReader.ts"
import * as LogWriter from "./LogWriter.ts"
import type { LogLimits } from "./SegmentAppender.ts"

const mebibyte = 1024 * 1024

const defaultMib = 64

const limitsOf = (mib: number): LogLimits => ({ capBytes: mib * mebibyte, segmentBytes: (mib * mebibyte) / 16 })

export const defaultLimits = limitsOf(defaultMib)

const capMib = Config.integer("AEGIS_LOG_CAP").pipe(
  Config.validate({ message: "4 to 65536 MiB", validation: (mib) => mib >= 4 && mib <= 65_536 }),
  Config.withDefault(defaultMib)
)

export class LogStore extends Context.Tag("@aegis/logs/LogStore")<
  LogStore,
  {
    /**
     * Opens an instance's log for writing; one writer at a time. It goes on where it ended, also after `kill -9`: a torn last record is
     * cut off and nothing else. Closing the scope ends unfinished lines, syncs and closes.
     */
    readonly open: (id: InstanceId) => Effect.Effect<LogWriter.LogWriter, LogWriter.LogWriteError, Scope.Scope>
    /**
     * The entries that are wanted, in order, in arrays of at most 1024. Without `follow` it ends at what was stored when it began. With `follow` it
     * goes on with what is written, waits without polling, also for a log's beginning, and ends when the log is removed. A reader never
     * slows the writer or another reader; what the cap took away before it was read comes as a gap.
     */
    readonly read: (
      id: InstanceId,
      query: LogQuery
    ) => Stream.Stream<ReadonlyArray<LogEntry>, InvalidArgument | LogUnavailable>
    /** The guest's cursor: the last sequence number of its frames that is stored; 0 where there is none. */
    readonly lastGuestSeq: (id: InstanceId) => Effect.Effect<bigint, LogUnavailable>
    /** Removes an instance's log. Its followers end, its writer fails from now on. Nothing is done where there is none. */
    readonly remove: (id: InstanceId) => Effect.Effect<void, LogUnavailable>
  }
>() {
  static readonly layer = (limits: Partial<LogLimits> = {}) => Layer.scoped(this, make({ ...defaultLimits, ...limits }))

  /** Each instance's log may take `AEGIS_LOG_CAP` MiB, 64 unless told. */
  static readonly configured = Layer.unwrapEffect(Effect.map(capMib, (mib) => LogStore.layer(limitsOf(mib))))
}

const make = (limits: LogLimits) =>
  Effect.gen(function* () {
    const paths = yield* AegisPaths
    const directoryOf = (id: InstanceId) => `${paths.logs}/${id}`
    const unavailable = (id: InstanceId) => (cause: unknown) =>
      new LogUnavailable({ path: directoryOf(id), reason: cause instanceof Error ? cause.message : String(cause) })

    // An id is never given again (D-20): a removed log stays removed for those who still hold it.
    const logs = yield* RcMap.make({
      lookup: (id: InstanceId) =>
        Effect.all({
          log: Effect.tryPromise({ try: () => InstanceLog.load(directoryOf(id)), catch: unavailable(id) }),
          lock: Effect.makeSemaphore(1)
        })
    })

    const open = Effect.fn("LogStore.open")(function* (id: InstanceId) {
      const { lock, log } = yield* RcMap.get(logs, id)
      return yield* LogWriter.make(log, limits, lock)
    })

    const read = (id: InstanceId, query: LogQuery) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          const filter = yield* LogFilter.compile(query)
          const { log } = yield* RcMap.get(logs, id)
          return entries(log, query, filter, unavailable(id))
        })
      )

    const lastGuestSeq = (id: InstanceId) =>
      RcMap.get(logs, id).pipe(
        Effect.map(({ log }) => log.state.guestSeq),
        Effect.scoped
      )

    const remove = Effect.fn("LogStore.remove")(function* (id: InstanceId) {
      const { lock, log } = yield* RcMap.get(logs, id)
      yield* lock.withPermits(1)(
        Effect.suspend(() => {
          log.removed = true
          log.segments = []
          log.notify()
          return Effect.mapError(Directories.removeTree(log.directory), unavailable(id))
        })
      )
    }, Effect.scoped)

    return LogStore.of({ open, read, lastGuestSeq, remove })
  })

/** The longest array that a reader gets. */
const sliceEntries = 1024

const entries = (
  log: InstanceLog,
  query: LogQuery,
  filter: LogFilter.LogFilter | undefined,
  failed: (cause: unknown) => LogUnavailable
) =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { after = 0, follow = false, since: sinceTime, tail } = query
      const since = sinceTime === undefined ? -Infinity : DateTime.toEpochMillis(sinceTime)
      const last = log.segments.at(-1)
      const end = { index: last?.index ?? 0, offset: last?.end ?? 0 }
      const begin =
        tail === undefined
          ? after
          : yield* Effect.tryPromise({ try: () => tailAfter(log, tail, filter, { after, since }), catch: failed })
      const reader = yield* Effect.acquireRelease(
        Effect.sync(() => new LogReader(log, { after: begin, since })),
        (open) => Effect.promise(() => open.close())
      )
      // A read that an interruption left alone could still use a descriptor that is closed.
      const readOn = Effect.uninterruptible(Effect.tryPromise({ try: () => reader.read(), catch: failed }))
      const step: Effect.Effect<Chunk.Chunk<ReadonlyArray<LogEntry>>, Option.Option<LogUnavailable>> = Effect.suspend(
        () => {
          if (log.removed || (!follow && reader.passed(end))) return Effect.fail(Option.none())
          if (!reader.ready) return follow ? Effect.as(log.changed, Chunk.empty()) : Effect.fail(Option.none())
          return Effect.mapBoth(readOn, { onFailure: Option.some, onSuccess: (found) => sliced(found, filter) })
        }
      )
      const stored = Stream.repeatEffectChunkOption(step)
      if (follow || log.writing || log.state.fragments.size === 0) return stored
      return Stream.concat(
        stored,
        Stream.suspend(() => Stream.fromChunk(sliced(unfinished(log, begin), filter)))
      )
    })
  )

const sliced = (
  found: ReadonlyArray<LogEntry>,
  filter: LogFilter.LogFilter | undefined
): Chunk.Chunk<ReadonlyArray<LogEntry>> => {
  const wanted = filter === undefined ? found : found.filter(filter)
  if (wanted.length === 0) return Chunk.empty()
  if (wanted.length <= sliceEntries) return Chunk.of(wanted)
  const slices: Array<ReadonlyArray<LogEntry>> = []
  for (let from = 0; from < wanted.length; from += sliceEntries) slices.push(wanted.slice(from, from + sliceEntries))
  return Chunk.unsafeFromArray(slices)
}

/** What a daemon that was killed left without a line feed, as the entries it becomes when nobody goes on with it. */
const unfinished = (log: InstanceLog, after: number): ReadonlyArray<LogEntry> =>
  log.removed
    ? []
    : [...log.state.fragments.values()]
        .map(({ bytes, strand: { execId, source, stream } }, index): LogEntry => ({
          _tag: "Line",
          seq: log.state.entries + 1 + index,
          time: DateTime.unsafeMake(log.state.latest),
          stream,
          source,
          ...(execId === "" ? {} : { execId }),
          bytes,
          partial: true
        }))
        .filter((entry) => entry._tag === "Line" && entry.seq > after)
