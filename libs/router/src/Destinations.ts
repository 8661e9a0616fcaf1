/**
 * What the router needs to know of instances, and how it reaches them.
 */
import type { EventCause, InstanceId, InstanceState } from "@aegis/domain"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Duplex, Readable } from "node:stream"

/** An instance that has an exposed `http` port; the first of them is what the router serves. */
export interface Destination {
  readonly id: InstanceId
  /** Its handle, or its id. */
  readonly name: string
  readonly state: InstanceState
  readonly port: number
}

/** Why there is no connection to an instance. */
export interface Unreachable {
  readonly _tag: string
  readonly message: string
  readonly remedy: string
}

/** A connection to a port of a guest, until a scope closes, which resets it. */
export interface PortConnection {
  readonly tunnel: Duplex
  /** It is left as it is instead, for another request. */
  readonly keep: () => void
}

export interface ConnectOptions {
  readonly mayWake?: boolean
  /** Whose bytes are for the port as they are. Nobody reads it before, and until it is read again it is paused. */
  readonly client?: Readable
}

/** A connection whose tunnel has carried a request before: its guest may have closed it just now. */
export interface KeptConnection {
  readonly tunnel: Duplex
  /** To be called once; `whole`: it may carry another request. */
  readonly end: (whole: boolean) => void
}

/** What is counted of an exposed port; what is absent is none. */
export interface EndpointCount {
  readonly connections?: number
  readonly requests?: number
  readonly received?: number
  readonly sent?: number
  readonly wakes?: number
  readonly errors?: number
}

export class Destinations extends Context.Tag("@aegis/router/Destinations")<
  Destinations,
  {
    /** By handle, in whatever case, or id; `unexposed` where it has no `http` port. */
    readonly find: (target: string) => Effect.Effect<Option.Option<Destination | "unexposed">>
    readonly all: Effect.Effect<ReadonlyArray<Destination>>
    /**
     * Connects to a port, waking the instance where it has to be and `mayWake` is not false: `StateConflict` then. It counts until the
     * scope closes. What `client` says meanwhile has been passed on when it succeeds.
     */
    readonly connect: (
      id: InstanceId,
      port: number,
      cause: EventCause,
      options?: ConnectOptions
    ) => Effect.Effect<PortConnection, Unreachable, Scope.Scope>
    /** A tunnel to a port of an instance that runs, if one was kept. It counts until its end is told. */
    readonly reuse: (id: InstanceId, port: number) => KeptConnection | undefined
    /** What has come by a port since the last time; a connection and a wake are counted where they are made. */
    readonly count: (id: InstanceId, port: number, what: EndpointCount) => void
  }
>() {}
