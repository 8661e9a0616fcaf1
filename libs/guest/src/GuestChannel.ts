/**
 * The host's side of the channel to one harness: HTTP/2 with prior knowledge over one byte stream.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as http2 from "node:http2"
import type { Duplex } from "node:stream"
import type { EarlyBytes } from "./EarlyBytes.ts"
import { acknowledgement, type Frame, FrameDecoder, type GuestProtocolViolation } from "./Frames.ts"
import { execsOf, type GuestExecs } from "./GuestExecs.ts"
import { filesOf, type GuestFiles } from "./GuestFiles.ts"
import { greet } from "./Hello.ts"
import {
  bodyOf,
  broken,
  bytesOf,
  ChannelBroken,
  type ChannelError,
  decodeAnswer,
  type Method,
  openTunnel,
  request
} from "./GuestRequest.ts"
import { Activity, Booted, type BootMessage, BootMessage as BootMessageSchema, Health } from "./Protocol.ts"

/** The live events of a guest, with the way to say which of them are safe on the host's side. */
export interface GuestEvents {
  /** In order, without gaps; ends after the exit frame. Pulls from the guest only as fast as it is read. */
  readonly frames: Stream.Stream<Frame, ChannelBroken | GuestProtocolViolation>
  /** Lets the guest forget everything up to `seq`; without it the guest's command blocks after 1 MiB. */
  readonly acknowledge: (seq: bigint) => Effect.Effect<void>
}

/** Writes to a command's standard input, and waits while the guest's pipe is full. */
export type StdinWriter = (bytes: Uint8Array) => Effect.Effect<void, ChannelBroken>

/** One HTTP/2 session to one harness. Every method fails with `ChannelBroken` once the session is gone. */
export interface GuestChannel {
  readonly health: Effect.Effect<Health, ChannelError>
  /** How much the guest has worked. */
  readonly activity: Effect.Effect<Activity, ChannelError>
  /** Sends the boot message; the pid is the primary's inside the guest. */
  readonly boot: (message: BootMessage) => Effect.Effect<number, ChannelError>
  readonly events: (after: bigint) => Effect.Effect<GuestEvents, ChannelError, Scope.Scope>
  /** Opens the primary's standard input; `write` waits while the guest's pipe is full. Closing the scope closes it. */
  readonly stdin: Effect.Effect<StdinWriter, ChannelError, Scope.Scope>
  /** The commands beside the primary one. */
  readonly execs: GuestExecs
  readonly files: GuestFiles
  readonly signal: (signal: number) => Effect.Effect<void, ChannelError>
  /**
   * Connects to a port of the guest's loopback. The stream is the caller's to destroy. Refused with `connect-refused` where nobody listens.
   * What a client says early reaches the guest with the request.
   */
  readonly tunnel: (port: number, early?: EarlyBytes) => Effect.Effect<Duplex, ChannelError>
  /** Sets the guest's wall clock, in milliseconds since the epoch. */
  readonly setClock: (clockMs: number) => Effect.Effect<void, ChannelError>
  /** SIGTERM, `grace`, SIGKILL, sync, reboot: returns when the guest has begun. */
  readonly shutdown: (grace: Duration.Duration) => Effect.Effect<void, ChannelError>
}

/**
 * What the guest may send ahead. Node gives the session's window back as bytes arrive, so a stream that nobody reads holds up no other
 * one, and costs at most its own window of our memory: there may be thousands of tunnels.
 */
const sessionWindow = 16 * 1024 * 1024
const streamWindow = 512 * 1024

/** What a harness may take to answer a hello that it got, until another is tried: one that was cut in two is never answered. */
const helloPatience = "5 seconds"

/** The same for its first word of HTTP/2. */
const settingsPatience = "10 seconds"

/**
 * Opens a session. `dial` gives a byte stream, which then belongs to the session; it is called again, 10 ms apart, until a harness has
 * answered: a guest that is still booting refuses or resets. The caller limits the whole by time.
 */
export const connect = (dial: Effect.Effect<Duplex, ChannelBroken>): Effect.Effect<GuestChannel, never, Scope.Scope> =>
  // Interruptible while it waits for a guest that may never answer, and not between the session and its finalizer.
  Effect.uninterruptibleMask((restore) =>
    restore(openSession(dial).pipe(Effect.retry(Schedule.spaced("10 millis")), Effect.orDie)).pipe(
      Effect.tap((session) => Effect.addFinalizer(() => Effect.sync(() => session.destroy())))
    )
  ).pipe(Effect.map(channelOf), Effect.withSpan("GuestChannel.connect"))

const within = (duration: Duration.DurationInput) =>
  Effect.timeoutFail({ duration, onTimeout: () => broken("the guest does not answer") })

const openSession = (dial: Effect.Effect<Duplex, ChannelBroken>) =>
  Effect.gen(function* () {
    const socket = yield* dial
    yield* within(helloPatience)(greet(socket))
    return yield* within(settingsPatience)(sessionOver(socket))
  })

const sessionOver = (socket: Duplex) =>
  Effect.async<http2.ClientHttp2Session, ChannelBroken>((resume) => {
    const session = http2.connect("http://guest", {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindow,
        maxFrameSize: 131_072,
        maxHeaderListSize: 16_384
      },
      maxSessionMemory: 64
    })
    const fail = (cause: unknown) => {
      session.destroy()
      resume(Effect.fail(broken(cause)))
    }
    const onClose = () => fail("the guest closed the channel")
    session.once("error", fail)
    session.once("close", onClose)
    session.once("remoteSettings", () => {
      session.off("error", fail)
      session.off("close", onClose)
      // An error of an established session shows in each of its requests; without a listener it would end the process.
      session.on("error", () => undefined)
      session.setLocalWindowSize(sessionWindow)
      resume(Effect.succeed(session))
    })
    return Effect.sync(() => session.destroy())
  })

const channelOf = (session: http2.ClientHttp2Session): GuestChannel => {
  /** One request with a whole body, and the whole answer's text. */
  const exchange = (method: Method, path: string, body?: string) =>
    request(session, method, path).pipe(
      Effect.flatMap(({ stream, status }) =>
        Effect.sync(() => stream.end(body)).pipe(
          Effect.zipRight(status),
          Effect.flatMap((code) => bodyOf(stream, code))
        )
      ),
      Effect.scoped
    )
  const json = <A, I>(path: string, answer: Schema.Schema<A, I>, body?: string) =>
    Effect.flatMap(exchange(body === undefined ? "GET" : "POST", path, body), (text) => decodeAnswer(answer, text))
  const command = (path: string, body: string) => Effect.asVoid(exchange("POST", path, body))
  const events = (path: string, after: bigint) =>
    Effect.gen(function* () {
      const { stream, status } = yield* request(session, "POST", `${path}?after=${after}`)
      const code = yield* status
      if (code !== 200) yield* bodyOf(stream, code)
      const decoder = new FrameDecoder(after)
      const frames = bytesOf(stream).pipe(
        Stream.mapConcatEffect((bytes) =>
          Either.match(decoder.push(bytes), { onLeft: Effect.fail, onRight: Effect.succeed })
        ),
        Stream.takeUntil((frame) => frame._tag === "Exit")
      )
      const send = (bytes: Uint8Array) => void stream.write(bytes)
      return { frames, acknowledge: (seq: bigint) => Effect.sync(() => send(acknowledgement(seq))), send }
    })
  const stdin = (path: string) => stdinAt(session, path)
  return {
    health: json("/health", Health).pipe(Effect.withSpan("GuestChannel.health")),
    activity: json("/activity", Activity),
    boot: Effect.fn("GuestChannel.boot")(function* (message: BootMessage) {
      const body = yield* Effect.catchAll(Schema.encode(Schema.parseJson(BootMessageSchema))(message), () =>
        // The schema's own words would quote the environment.
        Effect.dieMessage("the boot message does not fit its schema")
      )
      return (yield* json("/boot", Booted, body)).pid
    }),
    events: (after) => events("/events", after),
    stdin: stdin("/stdin"),
    execs: execsOf({ json, command, events, stdin, remove: (path) => Effect.asVoid(exchange("DELETE", path)) }),
    files: filesOf(session, { json, command }),
    signal: (signal) => command("/signal", JSON.stringify({ signal })).pipe(Effect.withSpan("GuestChannel.signal")),
    tunnel: (port, early) => openTunnel(session, port, early),
    setClock: (clockMs) =>
      command("/clock", JSON.stringify({ clockMs })).pipe(Effect.withSpan("GuestChannel.setClock")),
    shutdown: (grace) =>
      command("/shutdown", JSON.stringify({ graceMs: Duration.toMillis(grace) })).pipe(
        Effect.withSpan("GuestChannel.shutdown")
      )
  }
}

const stdinAt = (
  session: http2.ClientHttp2Session,
  path: string
): Effect.Effect<StdinWriter, ChannelError, Scope.Scope> =>
  Effect.gen(function* () {
    const { stream } = yield* request(session, "POST", path)
    // The harness answers at the body's end; before it, only to refuse.
    let refused: number | undefined
    stream.once("response", (headers) => {
      const status = Number(headers[":status"])
      if (status >= 400) refused = status
    })
    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        if (stream.destroyed) return resume(Effect.void)
        stream.once("close", () => resume(Effect.void))
        stream.resume()
        stream.end()
      }).pipe(Effect.interruptible, Effect.timeoutOption("2 seconds"))
    )
    return (bytes: Uint8Array) =>
      Effect.async<void, ChannelBroken>((resume) => {
        if (refused !== undefined)
          return resume(new ChannelBroken({ message: `standard input was refused (${refused})` }))
        stream.write(bytes, (error) => resume(error ? Effect.fail(broken(error)) : Effect.void))
      })
  })
