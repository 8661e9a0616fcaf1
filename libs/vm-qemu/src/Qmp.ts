/**
 * QEMU's control socket: JSON lines (QEMU Machine Protocol, docs/interop/qmp-spec of QEMU).
 */
import { UnixSocket } from "@aegis/host"
import * as NodeStream from "@effect/platform-node-shared/NodeStream"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** The socket is gone, or what came from it is not QMP (T-240). */
export class QmpFailed extends Data.TaggedError("QmpFailed")<{ readonly message: string }> {}

/** A field of type unknown may be absent, so the answer, which has no other, is tried last. */
const Message = Schema.parseJson(
  Schema.Union(
    Schema.Struct({
      event: Schema.String,
      data: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
    }),
    Schema.Struct({ error: Schema.Struct({ class: Schema.String, desc: Schema.String }) }),
    Schema.Struct({ QMP: Schema.Struct({ version: Schema.Record({ key: Schema.String, value: Schema.Unknown }) }) }),
    Schema.Struct({ return: Schema.Unknown })
  )
)
type Message = typeof Message.Type

export interface Qmp {
  /** Runs one command; they are answered in order. */
  readonly execute: (command: "quit" | "query-status" | "qmp_capabilities") => Effect.Effect<unknown, QmpFailed>
  /** Why the guest went down, as QEMU says it (`guest-reset`, `guest-shutdown`, `guest-panic`, …), once it has. */
  readonly shutdownReason: () => Option.Option<string>
}

/** Connects and leaves negotiation mode. Closing the scope closes the socket. */
export const connect = (path: string) =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      UnixSocket.connect(path).pipe(Effect.mapError((error) => new QmpFailed({ message: error.message }))),
      (socket) => Effect.sync(() => socket.destroy())
    )
    const waiting: Array<Deferred.Deferred<unknown, QmpFailed>> = []
    let reason = Option.none<string>()
    const receive = (message: Message) => {
      if ("event" in message) {
        if (message.event === "SHUTDOWN") reason = Option.some(String(message.data?.["reason"] ?? "unknown"))
        return Effect.void
      }
      if ("QMP" in message) return Effect.void
      const first = waiting.shift()
      if (first === undefined) return Effect.fail(new QmpFailed({ message: "an answer that nobody asked for" }))
      return "error" in message
        ? Deferred.fail(first, new QmpFailed({ message: `${message.error.class}: ${message.error.desc}` }))
        : Deferred.succeed(first, message.return)
    }
    const execute: Qmp["execute"] = (command) =>
      Effect.gen(function* () {
        const answer = yield* Deferred.make<unknown, QmpFailed>()
        waiting.push(answer)
        socket.write(`${JSON.stringify({ execute: command })}\n`)
        return yield* Deferred.await(answer)
      }).pipe(
        Effect.timeoutFail({
          duration: "5 seconds",
          onTimeout: () => new QmpFailed({ message: `${command} was not answered` })
        })
      )
    yield* NodeStream.fromReadable(
      () => socket,
      (cause) => new QmpFailed({ message: String(cause) })
    ).pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.mapEffect((line) =>
        Effect.mapError(Schema.decode(Message)(line), (error) => new QmpFailed({ message: error.message }))
      ),
      Stream.runForEach(receive),
      Effect.catchAll((error) => Effect.forEach(waiting.splice(0), (waiter) => Deferred.fail(waiter, error))),
      Effect.zipRight(
        Effect.suspend(() =>
          Effect.forEach(waiting.splice(0), (waiter) =>
            Deferred.fail(waiter, new QmpFailed({ message: "QEMU closed its control socket" }))
          )
        )
      ),
      Effect.forkScoped
    )
    yield* execute("qmp_capabilities")
    return { execute, shutdownReason: () => reason } satisfies Qmp
  })
