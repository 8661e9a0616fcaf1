/**
 * The daemon's side of aegis-net's control socket: JSON lines (`native-bridge/aegis-net/control.go`).
 */
import { type CompiledPolicy, NetworkReport, NetworkTraffic } from "@aegis/domain"
import { UnixSocket } from "@aegis/host"
import * as NodeStream from "@effect/platform-node-shared/NodeStream"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** The socket is gone, or what came from it cannot be read, or a policy was not taken. */
export class NetworkControlFailed extends Data.TaggedError("NetworkControlFailed")<{ readonly message: string }> {}

/** The connection ended too early: the network has crashed, and another is about to answer. */
class NetworkLost extends Data.TaggedError("NetworkLost") {}

const Heard = Schema.parseJson(
  Schema.Union(
    Schema.Struct({ report: NetworkReport }),
    Schema.Struct({ counters: NetworkTraffic }),
    Schema.Struct({ ended: Schema.Literal(true) }),
    Schema.Struct({ policy: Schema.Literal("set") }),
    Schema.Struct({ error: Schema.String })
  )
)

/** Says one line, and gives all that is answered until the other side closes. Where nobody listens any more, the network has ended. */
const converse = (socketPath: string, line: object) =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const socket = yield* Effect.acquireRelease(
        Effect.mapError(UnixSocket.connect(socketPath), ({ message }) => new NetworkControlFailed({ message })),
        (socket) => Effect.sync(() => socket.destroy())
      )
      yield* Effect.sync(() => socket.write(`${JSON.stringify(line)}\n`))
      return NodeStream.fromReadable(
        () => socket,
        () => new NetworkLost()
      ).pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.mapEffect((text) =>
          Effect.mapError(Schema.decode(Heard)(text), ({ message }) => new NetworkControlFailed({ message }))
        )
      )
    })
  )

/**
 * What the network tells, from what nobody has been told yet on, until it ends; of one that crashes, the next one goes on. The newest reader
 * takes an older one's place.
 */
export const reports = (controlSocket: string): Stream.Stream<NetworkReport, NetworkControlFailed> =>
  converse(controlSocket, { follow: true }).pipe(
    Stream.concat(Stream.fail(new NetworkLost())),
    Stream.takeUntil((heard) => "ended" in heard),
    Stream.filterMap((heard) => ("report" in heard ? Option.some(heard.report) : Option.none())),
    Stream.catchTag("NetworkLost", () => reports(controlSocket))
  )

/** Asks one thing, and takes the answer that `pick` finds in what is heard. */
const ask = <A>(
  controlSocket: string,
  line: object,
  pick: (heard: typeof Heard.Type) => A | undefined,
  within: Duration.DurationInput
): Effect.Effect<A, NetworkControlFailed> =>
  Stream.runHead(converse(controlSocket, line)).pipe(
    Effect.flatMap((heard): Effect.Effect<A, NetworkControlFailed | NetworkLost> => {
      if (Option.isNone(heard)) return new NetworkLost()
      const found = pick(heard.value)
      if (found !== undefined) return Effect.succeed(found)
      const message = "error" in heard.value ? heard.value.error : "an answer to something else"
      return new NetworkControlFailed({ message })
    }),
    // All that is asked may be asked twice.
    Effect.retry({ times: 2, while: ({ _tag }) => _tag === "NetworkLost" }),
    Effect.catchTag("NetworkLost", () => new NetworkControlFailed({ message: "it closes the connection" })),
    Effect.timeoutFail({
      duration: within,
      onTimeout: () => new NetworkControlFailed({ message: "it does not answer" })
    })
  )

/** Puts a policy into effect: for new flows at once, and those that it would have refused are ended. */
export const setPolicy = (controlSocket: string, policy: CompiledPolicy): Effect.Effect<void, NetworkControlFailed> =>
  Effect.asVoid(ask(controlSocket, { policy }, (heard) => ("policy" in heard ? heard.policy : undefined), "5 seconds"))

/** What has passed; asked for while a person waits, so for half a second at most. */
export const traffic = (controlSocket: string): Effect.Effect<NetworkTraffic, NetworkControlFailed> =>
  ask(controlSocket, { counters: true }, (heard) => ("counters" in heard ? heard.counters : undefined), "500 millis")

/** Its guest has ended: what is open is ended, what is left is told to the reader of its reports, and that stream ends. */
export const end = (controlSocket: string): Effect.Effect<void, NetworkControlFailed> =>
  Effect.asVoid(ask(controlSocket, { end: true }, (heard) => ("ended" in heard ? true : undefined), "1 second"))
