/**
 * The part of a guest's channel that concerns the commands beside its primary one.
 */
import { type TerminalSize } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { notation } from "./Frames.ts"
import type { GuestEvents, StdinWriter } from "./GuestChannel.ts"
import type { ChannelError } from "./GuestRequest.ts"
import { Booted, ExecMessage, Execs, type ExecState } from "./Protocol.ts"

/** The events of one exec. */
export interface ExecEvents extends GuestEvents {
  /** Tells the guest that everything up to `seq` is stored here, without letting it forget anything. */
  readonly note: (seq: bigint) => Effect.Effect<void>
}

/** Ids are the caller's. Each fails with `not-found` for one that the guest does not keep. */
export interface GuestExecs {
  /** Starts a command; the pid is the guest's. */
  readonly start: (id: string, message: ExecMessage) => Effect.Effect<number, ChannelError>
  /** Those that were not forgotten, oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<ExecState>, ChannelError>
  /** One reader at a time: another one ends the first's. */
  readonly events: (id: string, after: bigint) => Effect.Effect<ExecEvents, ChannelError, Scope.Scope>
  /** As the primary's. */
  readonly stdin: (id: string) => Effect.Effect<StdinWriter, ChannelError, Scope.Scope>
  readonly signal: (id: string, signal: number) => Effect.Effect<void, ChannelError>
  readonly resize: (id: string, size: TerminalSize) => Effect.Effect<void, ChannelError>
  /** Ends one that runs (SIGHUP, SIGKILL to its session) and keeps nothing of it. Returns when the guest has begun. */
  readonly forget: (id: string) => Effect.Effect<void, ChannelError>
}

/** What the channel does for any route. */
export interface Routes {
  readonly json: <A, I>(path: string, answer: Schema.Schema<A, I>, body?: string) => Effect.Effect<A, ChannelError>
  readonly command: (path: string, body: string) => Effect.Effect<void, ChannelError>
  readonly remove: (path: string) => Effect.Effect<void, ChannelError>
  readonly events: (
    path: string,
    after: bigint
  ) => Effect.Effect<GuestEvents & { readonly send: (bytes: Uint8Array) => void }, ChannelError, Scope.Scope>
  readonly stdin: (path: string) => Effect.Effect<StdinWriter, ChannelError, Scope.Scope>
}

export const execsOf = ({ command, events, json, remove, stdin }: Routes): GuestExecs => ({
  start: Effect.fn("GuestExecs.start")(function* (id: string, message: ExecMessage) {
    const body = yield* Effect.orDie(Schema.encode(Schema.parseJson(ExecMessage))(message))
    return (yield* json(`/execs/${id}`, Booted, body)).pid
  }),
  list: Effect.map(json("/execs", Execs), ({ execs }) => execs).pipe(Effect.withSpan("GuestExecs.list")),
  events: (id, after) =>
    Effect.map(events(`/execs/${id}/events`, after), ({ acknowledge, frames, send }) => ({
      frames,
      acknowledge,
      note: (seq: bigint) => Effect.sync(() => send(notation(seq)))
    })),
  stdin: (id) => stdin(`/execs/${id}/stdin`),
  signal: (id, signal) => command(`/execs/${id}/signal`, JSON.stringify({ signal })),
  resize: (id, size) => command(`/execs/${id}/size`, JSON.stringify(size)),
  forget: (id) => remove(`/execs/${id}`).pipe(Effect.withSpan("GuestExecs.forget"))
})
