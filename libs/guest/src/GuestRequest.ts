/**
 * One request on a guest's HTTP/2 session, and its answer. What comes from a guest is hostile: it is bounded and decoded here.
 */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as http2 from "node:http2"
import type { EarlyBytes } from "./EarlyBytes.ts"
import { GuestProtocolViolation } from "./Frames.ts"
import { HarnessError, maxJsonBytes } from "./Protocol.ts"
import { Tunnel } from "./Tunnel.ts"

/** The channel broke, or was never there: the VM's process died, the guest hung up, a socket error. */
export class ChannelBroken extends Data.TaggedError("ChannelBroken")<{ readonly message: string }> {}

/** The harness answered, and refused: its own code and words. */
export class HarnessRefused extends Data.TaggedError("HarnessRefused")<{
  readonly code: HarnessError["code"]
  readonly message: string
}> {}

export type ChannelError = ChannelBroken | GuestProtocolViolation | HarnessRefused

export const broken = (cause: unknown) =>
  new ChannelBroken({ message: cause instanceof Error ? cause.message : String(cause) })

export type Method = "GET" | "POST" | "PUT" | "DELETE"

const openStream = (session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders) =>
  Effect.try({
    try: () => {
      const stream = session.request(headers, { endStream: false })
      // Errors are seen by whoever reads or waits; without a listener one that comes later would end the process.
      stream.on("error", () => undefined)
      return stream
    },
    catch: broken
  })

/** Its stream outlives the call that opens it, and is reset where that one fails or is interrupted. */
export const openTunnel = (session: http2.ClientHttp2Session, port: number, early?: EarlyBytes) =>
  Effect.acquireUseRelease(
    openStream(session, { ":method": "CONNECT", ":authority": `127.0.0.1:${port}` }).pipe(
      Effect.tap((stream) => Effect.sync(() => early?.passTo((bytes) => void stream.write(bytes))))
    ),
    (stream) =>
      Effect.flatMap(statusOf(stream), (code): Effect.Effect<Tunnel, ChannelError> =>
        code === 200
          ? Effect.sync(() => {
              early?.end()
              return new Tunnel(stream)
            })
          : Effect.flatMap(bodyOf(stream, code), () => broken(`CONNECT was answered with ${code}`))
      ),
    (stream, exit) =>
      Effect.sync(() =>
        exit._tag === "Success" || stream.closed ? undefined : stream.close(http2.constants.NGHTTP2_CANCEL)
      )
  )

const statusOf = (stream: http2.ClientHttp2Stream) =>
  Effect.async<number, ChannelBroken>((resume) => {
    stream.once("response", (headers) => resume(Effect.succeed(Number(headers[":status"]))))
    stream.once("error", (error) => resume(Effect.fail(broken(error))))
    stream.once("close", () => resume(Effect.fail(broken("the guest closed the channel"))))
  })

/** One HTTP/2 stream, reset when the scope closes before it has ended. */
export const request = (session: http2.ClientHttp2Session, method: Method, path: string) =>
  Effect.acquireRelease(openStream(session, { ":method": method, ":path": path }), (stream) =>
    Effect.sync(() => (stream.closed ? undefined : stream.close(http2.constants.NGHTTP2_CANCEL)))
  ).pipe(Effect.map((stream) => ({ stream, status: statusOf(stream) })))

/** The answer's body as text; an error status becomes the harness's own words. */
export const bodyOf = (stream: http2.ClientHttp2Stream, status: number) =>
  bytesOf(stream).pipe(
    Stream.mapAccumEffect(0, (sum, bytes) =>
      sum + bytes.length > maxJsonBytes
        ? new GuestProtocolViolation({ message: `an answer of more than ${maxJsonBytes} bytes` })
        : Effect.succeed([sum + bytes.length, bytes] as const)
    ),
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat(Chunk.toReadonlyArray(pieces)).toString("utf8")),
    Effect.flatMap((text) =>
      status >= 200 && status < 300
        ? Effect.succeed(text)
        : decodeAnswer(HarnessError, text).pipe(
            Effect.flatMap(({ code, message }) => Effect.fail(new HarnessRefused({ code, message })))
          )
    )
  )

export const decodeAnswer = <A, I>(schema: Schema.Schema<A, I>, text: string) =>
  Schema.decode(Schema.parseJson(schema))(text).pipe(
    Effect.mapError(
      (error) => new GuestProtocolViolation({ message: `the harness's answer is malformed: ${error.message}` })
    )
  )

/** Bytes as they come, read only when asked for. A stream that closes before its end fails, an interrupt takes effect at once. */
export const bytesOf = (stream: http2.ClientHttp2Stream): Stream.Stream<Uint8Array, ChannelBroken> =>
  Stream.repeatEffectOption(
    Effect.async<Uint8Array, Option.Option<ChannelBroken>>((resume) => {
      const events = ["readable", "end", "close", "error"]
      const release = () => events.forEach((event) => stream.off(event, look))
      const answer = (result: Effect.Effect<Uint8Array, Option.Option<ChannelBroken>>) => {
        release()
        resume(result)
      }
      const look = () => {
        const bytes: Uint8Array | null = stream.read()
        if (bytes !== null) answer(Effect.succeed(bytes))
        else if (stream.readableEnded) answer(Effect.fail(Option.none()))
        else if (stream.destroyed)
          answer(Effect.fail(Option.some(broken(stream.errored ?? "the guest closed the channel"))))
      }
      events.forEach((event) => stream.on(event, look))
      look()
      return Effect.sync(release)
    })
  )
