/**
 * The one who writes an instance's log.
 */
import { DiskFull, LogUnavailable } from "@aegis/domain"
import { Directories } from "@aegis/host"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  addLost,
  BatchEncoder,
  type LogRecord,
  type Lost,
  openLines,
  sizeBound,
  type OpenLine
} from "./BatchEncoder.ts"
import type { InstanceLog } from "./InstanceLog.ts"
import { DirectoryGone, type LogLimits, SegmentAppender } from "./SegmentAppender.ts"
import { strandKey } from "./SegmentFormat.ts"

/** An unfinished line becomes a partial entry after this long (T-286). */
const cutAfterMillis = 1000

/** Fails with `DiskFull`, after which nothing of the call is stored; whether to wait, to end or to `discard` is the caller's to say. */
export interface LogWriter {
  /**
   * Stores output with one write(2). When it succeeds, `kill -9` of the daemon cannot take it away; a power cut can, up to a few MiB.
   * May be called from several fibers: each call's records stay together and in order.
   */
  readonly append: (records: ReadonlyArray<LogRecord>) => Effect.Effect<void, LogWriteError>
  /** Adds an entry of the daemon's own, one for each line of the text. */
  readonly system: (text: string) => Effect.Effect<void, LogWriteError>
  /** Says that no more comes from the primary, or from this exec: a last line without a line feed becomes a partial entry. */
  readonly end: (source: "primary" | { readonly execId: string }) => Effect.Effect<void, LogWriteError>
  /** Gives output up that could not be stored. The next one that can be is preceded by a gap that counts it. */
  readonly discard: (records: ReadonlyArray<LogRecord>) => Effect.Effect<void>
  /** Sets the guest's cursor back to 0: a guest that has just booted counts from 1. */
  readonly guestBooted: Effect.Effect<void, LogWriteError>
}

export type LogWriteError = DiskFull | LogUnavailable

export const failure =
  (directory: string) =>
  (cause: unknown): LogWriteError => {
    const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
    return error.code === "ENOSPC" || error.code === "EDQUOT"
      ? new DiskFull({ path: directory })
      : new LogUnavailable({ path: directory, reason: error.message })
  }

/** A buffer up to this size is kept for the next batch. */
const keptBytes = 262_144

/** Opens the log for writing until the scope closes. `lock` guards the log's files against its removal. */
export const make = (
  log: InstanceLog,
  limits: LogLimits,
  lock: Effect.Semaphore
): Effect.Effect<LogWriter, LogWriteError, Scope.Scope> =>
  Effect.gen(function* () {
    const appender = new SegmentAppender(log, limits)
    const failed = failure(log.directory)
    const directory = Effect.mapError(Directories.ensurePrivate(log.directory), failed)
    const exclusive = <A, E>(effect: Effect.Effect<A, E>) => lock.withPermits(1)(Effect.uninterruptible(effect))
    let buffer = Buffer.alloc(0)
    let lines: ReadonlyMap<string, OpenLine> = openLines(log.state, yield* Clock.currentTimeMillis)
    let lost: Lost | undefined
    const someOpen = yield* Effect.makeLatch(lines.size > 0)

    const write = async (bytes: number, now: number, encode: (batch: BatchEncoder) => void) => {
      if (log.removed) throw new Error("was removed")
      const segment = await appender.room(bytes, now, lines)
      const target = bytes <= buffer.length ? buffer : Buffer.allocUnsafeSlow(bytes)
      if (target.length <= keptBytes) buffer = target
      const batch = new BatchEncoder(target, segment.start.mark, now, log.state, lines)
      if (lost !== undefined) batch.lost(lost)
      encode(batch)
      if (batch.length === 0) return
      await appender.append(target.subarray(0, batch.length))
      log.state = batch.state
      lines = batch.lines
      lost = undefined
      if (lines.size > 0) someOpen.unsafeOpen()
      log.notify()
    }
    const commit = (bytes: number, encode: (batch: BatchEncoder, now: number) => void) =>
      exclusive(
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.tryPromise({
            try: () => write(bytes, now, (batch) => encode(batch, now)),
            catch: (cause) => (cause instanceof DirectoryGone ? cause : failed(cause))
          })
        ).pipe(
          Effect.tapErrorTag("DirectoryGone", () => directory),
          Effect.retry({ while: (error) => error._tag === "DirectoryGone", times: 1 }),
          Effect.catchTag("DirectoryGone", (gone) => Effect.fail(failed(gone)))
        )
      )
    const append = (records: ReadonlyArray<LogRecord>) => commit(sizeBound(records), (batch) => batch.data(records))
    const cutWhere = (due: (line: OpenLine, now: number) => boolean) =>
      commit(sizeBound([]), (batch, now) => {
        for (const [key, line] of lines) if (due(line, now)) batch.cut(key)
      })

    yield* Effect.acquireRelease(
      exclusive(
        Effect.suspend(() => {
          if (log.writing) {
            return Effect.fail(new LogUnavailable({ path: log.directory, reason: "is being written already" }))
          }
          if (log.removed) return Effect.fail(new LogUnavailable({ path: log.directory, reason: "was removed" }))
          return directory.pipe(
            Effect.zipRight(Effect.tryPromise({ try: () => appender.open(), catch: failed })),
            Effect.zipRight(
              Effect.sync(() => {
                log.writing = true
              })
            )
          )
        })
      ),
      () =>
        Effect.ignoreLogged(
          Effect.unless(
            cutWhere(() => true),
            () => log.removed || (lines.size === 0 && !lost)
          )
        ).pipe(
          Effect.zipRight(
            exclusive(
              Effect.promise(() => appender.close().catch(() => undefined)).pipe(
                // The bytes are the kernel's already: a disk that does not answer holds nobody up.
                Effect.interruptible,
                Effect.timeoutOption("2 seconds"),
                Effect.zipRight(
                  Effect.sync(() => {
                    log.writing = false
                    log.notify()
                  })
                )
              )
            )
          )
        )
    )

    const isDue = (line: OpenLine, now: number) => now - line.since >= cutAfterMillis || now < line.since
    yield* Effect.gen(function* () {
      yield* someOpen.await
      const [oldest] = lines.values()
      if (oldest === undefined) return someOpen.unsafeClose()
      const now = yield* Clock.currentTimeMillis
      yield* Effect.sleep(isDue(oldest, now) ? cutAfterMillis : oldest.since + cutAfterMillis - now)
      // A disk that is full now may have room the next time; whoever appends hears of it.
      yield* Effect.ignore(cutWhere(isDue))
    }).pipe(Effect.forever, Effect.forkScoped)

    return {
      append,
      system: (text) =>
        append([{ source: "system", stream: "stdout", bytes: Buffer.from(text.endsWith("\n") ? text : `${text}\n`) }]),
      end: (source) => {
        const wanted = ["stdout", "stderr"] as const
        const keys = wanted.map((stream) =>
          strandKey({
            stream,
            source: source === "primary" ? source : "exec",
            execId: source === "primary" ? "" : source.execId
          })
        )
        return commit(sizeBound([]), (batch) => keys.forEach((key) => batch.cut(key)))
      },
      discard: (records) =>
        exclusive(
          Effect.sync(() => {
            lost = addLost(records, lost, log.state.guestSeq)
          })
        ),
      guestBooted: commit(sizeBound([]), (batch) => batch.guest(0n))
    }
  })
