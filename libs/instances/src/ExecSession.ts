/**
 * One exec as the daemon sees it. Its output waits in the guest until a reader has taken it; the log gets it as soon as it is seen.
 */
import {
  ExecEnded,
  type ExecEvent,
  type ExecId,
  ExecLost,
  ExecNotFound,
  ExecStarted,
  ExecTaken,
  Exited,
  Output,
  Signaled,
  type TerminalSize
} from "@aegis/domain"
import type { ChannelError, ExecEvents, Frame } from "@aegis/guest"
import type { Vm } from "@aegis/vm"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { endInWords } from "./EndInWords.ts"
import type { Life } from "./Life.ts"
import * as StdinFeed from "./StdinFeed.ts"

/** How many frames are taken off the guest while a reader is busy with those before them. */
const aheadFrames = 32

/** What a detached exec that nobody reads may hold of the guest's 1 MiB. Older output is in the log alone. */
const unreadBytes = 512 * 1024

export interface ExecSession {
  readonly id: ExecId
  readonly life: Life
  readonly started: ExecStarted
  /** Everything that no reader has taken yet, then what comes. Its scope's end frees the exec for another reader, or ends it. */
  readonly events: Stream.Stream<ExecEvent, ExecLost | ExecNotFound | ExecTaken>
  readonly write: (bytes: Uint8Array, end: boolean) => Effect.Effect<void, ExecLost | ExecNotFound>
  readonly resize: (size: TerminalSize) => Effect.Effect<void, ExecLost | ExecNotFound>
  readonly signal: (signal: number) => Effect.Effect<void, ExecLost | ExecNotFound>
  /** Lets it go on without a reader. */
  readonly leave: Effect.Effect<void>
  /** Ends it if it runs, and keeps nothing of it. Returns at once. */
  readonly forget: Effect.Effect<void>
}

export interface ExecOptions {
  readonly id: ExecId
  /** What its instance is called. */
  readonly name: string
  readonly life: Life
  readonly vm: Vm
  readonly tty: boolean
  readonly interactive: boolean
  readonly detached: boolean
  /** What the guest knows to be read, and to be in the log. */
  readonly acked: bigint
  readonly noted: bigint
  /** Told when there is nothing to be read of it any more. */
  readonly over: Effect.Effect<void>
}

export const make = (options: ExecOptions): Effect.Effect<ExecSession> =>
  Effect.gen(function* () {
    const { detached, id, interactive, life, name, tty, vm } = options
    const { execs } = vm.guest
    const started = new ExecStarted({ instanceId: life.id, execId: id, tty, interactive })
    let acked = options.acked
    let logged = options.noted
    let taken = false
    let endRead = false
    // A child of the VM's scope, so that a machine on which thousands are run keeps nothing of them.
    const scope = yield* life.extend(
      Effect.flatMap(Effect.scope, (vmScope) => Scope.fork(vmScope, { _tag: "Sequential" }))
    )
    yield* Scope.addFinalizer(scope, options.over)
    let background = Option.none<Fiber.RuntimeFiber<void>>()

    /** A terminal's output is no text: it is not logged. */
    const store = (frames: Chunk.Chunk<Frame>, note: ExecEvents["note"]) =>
      Effect.gen(function* () {
        const fresh = Chunk.toReadonlyArray(frames).filter(({ seq }) => seq > logged)
        const last = fresh.at(-1)
        if (last === undefined) return
        const records = fresh.flatMap((frame) =>
          frame._tag === "Output"
            ? [{ source: "exec" as const, execId: id, stream: frame.stream, bytes: frame.bytes }]
            : []
        )
        if (!tty && records.length > 0) yield* life.record(records)
        if (last._tag === "Exit") yield* life.endOfExec(id)
        logged = last.seq
        yield* note(last.seq)
      })

    /** Lets the log grow and the command go on while nobody reads it: the guest forgets the oldest of what is unread. */
    const follow = Effect.gen(function* () {
      const { acknowledge, frames, note } = yield* execs.events(id, acked)
      const unread: Array<{ readonly seq: bigint; readonly bytes: number }> = []
      let held = 0
      yield* Stream.runForEachChunk(frames, (chunk) =>
        Effect.gen(function* () {
          yield* store(chunk, note)
          for (const frame of chunk) {
            if (frame._tag === "Exit") continue
            unread.push({ seq: frame.seq, bytes: frame.bytes.length })
            held += frame.bytes.length
          }
          const before = acked
          while (held > unreadBytes) {
            const oldest = unread.shift()
            if (oldest === undefined) break
            acked = oldest.seq
            held -= oldest.bytes
          }
          if (acked > before) yield* acknowledge(acked)
        })
      )
    }).pipe(
      Effect.scoped,
      // The channel's end is the life's; a reader that comes is told.
      Effect.ignore
    )

    const leave = Effect.gen(function* () {
      // What a terminal shows is for who sits at it, and for no log: the command waits when 1 MiB of it is unread.
      if (!tty) background = Option.some(yield* Effect.forkIn(Effect.interruptible(follow), scope))
    })

    const forget = Effect.gen(function* () {
      yield* options.over
      const forgetting = Effect.zipRight(Effect.ignore(execs.forget(id)), Scope.close(scope, Exit.void))
      // A guest that is paused hears it later, or never.
      yield* Effect.asVoid(life.extend(Effect.forkScoped(Effect.interruptible(forgetting))))
    })

    const take = Effect.gen(function* () {
      if (taken) return yield* new ExecTaken({ execId: id })
      taken = true
      if (Option.isSome(background)) yield* Fiber.interrupt(background.value)
    })
    const release = Effect.suspend(() => {
      taken = false
      // One that is not detached belongs to whoever started it.
      return detached ? (endRead ? forget : leave) : Effect.void
    })

    const lost = (reason: string) =>
      // A channel that broke is nearly always a machine that has gone: its end says more.
      life.over.pipe(
        Effect.timeoutOption("3 seconds"),
        Effect.flatMap(
          (end) =>
            new ExecLost({ target: name, reason: Option.match(end, { onNone: () => reason, onSome: endInWords }) })
        )
      )
    const failure = (error: ChannelError): Effect.Effect<never, ExecLost | ExecNotFound> =>
      error._tag === "HarnessRefused" && error.code === "not-found"
        ? Effect.zipRight(options.over, new ExecNotFound({ execId: id }))
        : lost(error.message)

    const events = Stream.unwrapScoped(
      Effect.gen(function* () {
        yield* Effect.acquireRelease(take, () => release)
        const { acknowledge, frames, note } = yield* execs.events(id, acked)
        const coming = yield* Mailbox.fromStream(frames, { capacity: aheadFrames })
        let given = acked
        // Who asks for more has taken what came before.
        const next = Effect.gen(function* () {
          if (given > acked) {
            acked = given
            yield* acknowledge(acked)
          }
          const [chunk, done] = yield* Effect.mapError(coming.takeAll, Option.some)
          if (done && Chunk.isEmpty(chunk)) return yield* Effect.fail(Option.none())
          yield* store(chunk, note)
          const last = Chunk.last(Chunk.filter(chunk, (frame) => frame._tag === "Output"))
          if (Option.isSome(last)) given = last.value.seq
          return Chunk.map(chunk, eventOf)
        }).pipe(
          Effect.tapError((end) =>
            Effect.sync(() => {
              endRead = Option.isNone(end)
            })
          )
        )
        return Stream.concat(Stream.make(started), Stream.repeatEffectChunkOption(next))
      })
    ).pipe(
      Stream.catchAll((error): Stream.Stream<never, ExecLost | ExecNotFound | ExecTaken> =>
        error._tag === "ExecTaken" ? Stream.fail(error) : Stream.fromEffect(failure(error))
      )
    )

    const stdin = yield* StdinFeed.make(execs.stdin(id), scope)
    /** A command that has ended or does not want it is no failure of the caller's: it learns of the end by the events. */
    const input = (effect: Effect.Effect<void, ChannelError>) =>
      Effect.catchAll(effect, (error) =>
        error._tag === "HarnessRefused" && error.code === "state" ? Effect.void : failure(error)
      )
    return {
      id,
      life,
      started,
      events,
      leave,
      forget,
      write: (bytes, end) => Effect.catchTag(stdin(bytes, end), "ChannelBroken", () => Effect.void).pipe(input),
      resize: (size) => input(execs.resize(id, size)),
      signal: (signal) => input(execs.signal(id, signal))
    }
  })

const eventOf = (frame: Frame): ExecEvent => {
  if (frame._tag === "Output") return new Output({ stream: frame.stream, bytes: frame.bytes })
  const { code, oom, ranUs, signal } = frame.event
  const reason =
    signal === undefined ? new Exited({ code: code ?? 0 }) : new Signaled({ signal, outOfMemory: oom ?? false })
  return new ExecEnded({ reason, ...(ranUs === undefined ? {} : { ranMicros: ranUs }) })
}
