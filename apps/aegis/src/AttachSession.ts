/**
 * One `aegis attach`: what an instance's command has said last and says from now on, and its end.
 */
import { Aegis } from "@aegis/client"
import {
  type DaemonUnreachable,
  type EndReason,
  type InvalidArgument,
  type LogEntry,
  type LogQuery,
  type LogUnavailable,
  StateConflict,
  Stopped,
  type StoreError
} from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type GuestLost, type InputFailed, TargetUnresolved } from "./Errors.ts"
import { exitCodeOfEnd } from "./GuestEnd.ts"
import { followGuest } from "./GuestSession.ts"
import { logText } from "./LogText.ts"
import { type OutputError, Stdio } from "./Stdio.ts"

export interface AttachSession {
  readonly target: string
  /** How many lines that it has written already are shown first. */
  readonly tail: number
  /** Whether standard input is for the command. */
  readonly interactive: boolean
}

type AttachEvent = { readonly _tag: "Joined" } | { readonly _tag: "Said"; readonly entries: Chunk.Chunk<LogEntry> }

export type AttachError =
  | TargetUnresolved
  | StateConflict
  | StoreError
  | InvalidArgument
  | LogUnavailable
  | DaemonUnreachable
  | GuestLost
  | InputFailed
  | OutputError

/**
 * The exit code for the command's end. Its output comes from the log, which has every byte of it, so any number may read at once, none
 * holds the command up, and a daemon that was there before has lost nothing. Whoever leaves leaves the command as it is.
 */
export const attachSession = ({
  interactive,
  tail,
  target
}: AttachSession): Effect.Effect<number, AttachError, Aegis | Stdio> =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const { id, state } = yield* Effect.catchTag(aegis.get(target), "NotFound", () => new TargetUnresolved({ target }))
    if (state === "stopped") {
      return yield* new StateConflict({ target, state, remedy: `aegis logs ${target} shows what it has said` })
    }
    // Tells, before anything is shown, whether it takes input at all.
    if (interactive) {
      yield* Effect.catchTag(
        aegis.writeStdin(id, new Uint8Array(), false),
        "NotFound",
        () => new TargetUnresolved({ target })
      )
    }

    let last: number | undefined
    // A deletion is a stop, and which of the two is seen is a matter of luck: both end alike.
    let end: EndReason = new Stopped()
    const read = (query: LogQuery) =>
      Stream.catchTag(aegis.logs(id, { ...query, sources: ["primary"] }), "NotFound", () => Stream.empty)
    const over = aegis.wait(id).pipe(
      Effect.map(({ ended = end }) => (end = ended)),
      Effect.catchTag("NotFound", () => Effect.void)
    )
    const more = (follow: boolean) =>
      Stream.suspend(() => read({ ...(last === undefined ? {} : { after: last }), follow }))
    const said = <E>(entries: Stream.Stream<LogEntry, E>) =>
      Stream.map(Stream.chunks(entries), (entries) => ({ _tag: "Said", entries }) as const)
    // Read before the command gets any input: what that brings about is behind a number that is known.
    const before =
      tail === 0
        ? Stream.drain(Stream.tap(read({ tail: 1 }), (entry) => Effect.sync(() => (last = numberOf(entry)))))
        : said(read({ tail }))
    const live = Stream.interruptWhen(more(true), over)
    // What the interruption has taken is read again: the log is written to its end before the end is told.
    const coming = said(Stream.concat(live, more(false)))
    const show = logText({ color: { stdout: false, stderr: false }, timestamps: false })
    yield* followGuest<AttachEvent, AttachError>({
      events: before.pipe(Stream.concat(Stream.make({ _tag: "Joined" } as const)), Stream.concat(coming)),
      onEvent: (event, feed) => {
        if (event._tag === "Joined") {
          return interactive ? feed((bytes, end) => aegis.writeStdin(id, bytes, end)) : Effect.void
        }
        last = Chunk.last(event.entries).pipe(Option.match({ onNone: () => last, onSome: numberOf }))
        return Effect.forEach(show(event.entries), ({ bytes, stream }) => stdio.write(stream, bytes), { discard: true })
      }
    })
    return yield* exitCodeOfEnd(end)
  }).pipe(Effect.scoped)

const numberOf = (entry: LogEntry) => (entry._tag === "Line" ? entry.seq : entry.toSeq)
