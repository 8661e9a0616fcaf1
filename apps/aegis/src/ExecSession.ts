/**
 * One `aegis exec`, from the request to the exit code.
 */
import { Aegis } from "@aegis/client"
import type { ExecEnded, ExecEvent, ExecId } from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { withDetachKeys } from "./DetachKeys.ts"
import { type GuestLost, type InputFailed, Interrupted } from "./Errors.ts"
import { type EndingSignal, signalNumber } from "./ExitCode.ts"
import { exitCodeOfEnd, lost } from "./GuestEnd.ts"
import { followGuest, type InputWriter } from "./GuestSession.ts"
import { Signals } from "./Signals.ts"
import { type OutputError, Stdio } from "./Stdio.ts"
import { Terminal } from "./Terminal.ts"

export interface ExecSession<E> {
  readonly events: Stream.Stream<ExecEvent, E>
  /** Whether standard input is for the command. */
  readonly interactive: boolean
  /** It was there before, and goes on when we leave. */
  readonly joined: boolean
}

/**
 * The exit code for the command's end. Signals go to the command, or end our part of one that was joined; a terminal's keys go to the
 * command, and Ctrl+P Ctrl+Q leave one that was joined: 0, since nothing has failed.
 */
export const execSession = <E>({
  events,
  interactive,
  joined
}: ExecSession<E>): Effect.Effect<
  number,
  E | OutputError | InputFailed | GuestLost | Interrupted,
  Aegis | Stdio | Signals | Terminal
> =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const signals = yield* Signals
    const terminal = yield* Terminal
    const id = yield* Deferred.make<ExecId>()
    const left = yield* Deferred.make<void>()
    const scope = yield* Effect.scope
    let reason = Option.none<ExecEnded["reason"]>()

    /** Its terminal is as large as ours from now on, and gets our keys as they are. */
    const joinTerminals = (execId: ExecId): Effect.Effect<void, never, Scope.Scope> =>
      Effect.gen(function* () {
        if (interactive) yield* terminal.raw
        const resize = (size: Parameters<typeof aegis.resizeExec>[1]) => Effect.ignore(aegis.resizeExec(execId, size))
        yield* Effect.forkScoped(
          Effect.zipRight(Effect.flatMap(terminal.size, resize), Stream.runForEach(terminal.resized, resize))
        )
      })

    const onEvent = (
      event: ExecEvent,
      feed: (write: InputWriter) => Effect.Effect<void>
    ): Effect.Effect<void, OutputError> => {
      switch (event._tag) {
        case "Output":
          return stdio.write(event.stream, event.bytes)
        case "ExecStarted":
          return Effect.gen(function* () {
            const { execId, tty } = event
            yield* Deferred.succeed(id, execId)
            if (tty) yield* Effect.provideService(joinTerminals(execId), Scope.Scope, scope)
            if (interactive && event.interactive) {
              const write: InputWriter = (bytes, end) => aegis.writeExec(execId, bytes, end)
              const leave = Deferred.succeed(left, undefined)
              yield* feed(joined && tty && terminal.isInput ? withDetachKeys(write, leave) : write)
            }
          })
        case "ExecEnded":
          return Effect.sync(() => {
            reason = Option.some(event.reason)
          })
      }
    }

    const onSignal = (signal: EndingSignal) =>
      Effect.gen(function* () {
        const known = yield* Deferred.poll(id)
        // A terminal that is gone takes its commands along; the daemon ends what has no reader.
        if (joined || Option.isNone(known) || signal === "SIGHUP") return yield* new Interrupted({ signal })
        const execId = yield* known.value
        yield* Effect.ignore(aegis.signalExec(execId, signalNumber(signal)))
      })

    const following = yield* Effect.forkScoped(followGuest({ events, onEvent }))
    const first = yield* Effect.raceAll([
      Effect.as(Fiber.await(following), "ended" as const),
      Effect.as(Deferred.await(left), "left" as const),
      signals.first
    ])
    if (first === "left") {
      // Our terminal is not as it was yet: it takes no line feed for the beginning of a line.
      yield* stdio.note(`\r\nleft running: aegis exec -i --attach ${yield* Deferred.await(id)}\r\n`)
      return 0
    }
    if (first !== "ended") yield* onSignal(first)
    yield* Fiber.join(following)
    return yield* Option.match(reason, {
      onNone: () => lost("the daemon stopped telling about the command", "aegis status shows whether it runs"),
      onSome: exitCodeOfEnd
    })
  }).pipe(Effect.scoped)
