/**
 * A command of a guest that is followed from its begin: one fiber reads its events; its output waits in a small mailbox, and a reader that
 * does not take it slows the command down.
 */
import type { EndReason, ExecEvent, ExecId, InstanceId, Output, RunEvent } from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** How many pieces of output wait for their reader, each of at most some dozens of KiB. */
const waiting = 16

/** What a session is told: that it runs, under which id, its output, and its end. */
export type SessionEvent<Id> =
  { readonly _tag: "Runs"; readonly id: Id } | Output | { readonly _tag: "Ends"; readonly reason: EndReason }

export interface Session<Id, E> {
  readonly id: Id
  /** Each piece once, to whoever asks first. */
  readonly output: Stream.Stream<Output, E>
  /** Its end; comes only after all of its output has been taken. */
  readonly ended: Effect.Effect<EndReason, E>
  /** Stops following it. */
  readonly close: Effect.Effect<void>
}

/** Succeeds when it runs; interrupting it before then stops following. */
export const follow = <Id, E, R>(
  events: Stream.Stream<SessionEvent<Id>, E, R>,
  cutShort: () => E
): Effect.Effect<Session<Id, E>, E, R> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const output = yield* Mailbox.make<Output, E>(waiting)
    const runs = yield* Deferred.make<Id, E>()
    const ended = yield* Deferred.make<EndReason, E>()
    const take = (event: SessionEvent<Id>): Effect.Effect<unknown> => {
      switch (event._tag) {
        case "Runs":
          return Deferred.succeed(runs, event.id)
        case "Output":
          return output.offer(event)
        case "Ends":
          return Deferred.succeed(ended, event.reason)
      }
    }
    yield* Stream.runForEach(events, take).pipe(
      Effect.onExit((exit) => {
        // Where all has been said by then, this changes nothing.
        const failure = Exit.isSuccess(exit) ? Exit.fail(cutShort()) : Exit.failCause(exit.cause)
        return Effect.all([Deferred.done(runs, failure), Deferred.done(ended, failure), output.done(Exit.asVoid(exit))])
      }),
      Effect.forkIn(scope)
    )
    const close = Scope.close(scope, Exit.void)
    const id = yield* Effect.onExit(Deferred.await(runs), (exit) => (Exit.isSuccess(exit) ? Effect.void : close))
    return { id, output: Mailbox.toStream(output), ended: Deferred.await(ended), close }
  })

/** What `run` tells; the steps before its command runs are left out. */
export const ofRun = <E, R>(events: Stream.Stream<RunEvent, E, R>): Stream.Stream<SessionEvent<InstanceId>, E, R> =>
  Stream.suspend(() => {
    let id: InstanceId | undefined
    return Stream.filterMap(events, (event): Option.Option<SessionEvent<InstanceId>> => {
      if (event._tag === "Created") id = event.id
      if (event._tag === "Started" && id !== undefined) return Option.some({ _tag: "Runs", id })
      if (event._tag === "Ended") return Option.some({ _tag: "Ends", reason: event.reason })
      return event._tag === "Output" ? Option.some(event) : Option.none()
    })
  })

/** What `exec` tells. */
export const ofExec = <E, R>(events: Stream.Stream<ExecEvent, E, R>): Stream.Stream<SessionEvent<ExecId>, E, R> =>
  Stream.map(events, (event): SessionEvent<ExecId> => {
    if (event._tag === "ExecStarted") return { _tag: "Runs", id: event.execId }
    return event._tag === "ExecEnded" ? { _tag: "Ends", reason: event.reason } : event
  })
