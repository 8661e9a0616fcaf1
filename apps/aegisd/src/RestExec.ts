/**
 * `POST /v1/instances/{id}/exec`, answered with the lines that the command writes.
 */
import { RestApi, RestExecEnded, RestExecStarted } from "@aegis/contract/rest"
import {
  ByRest,
  type ExecError,
  type ExecEvent,
  type ExecId,
  ExecSpec,
  type InstanceId,
  type LogLine,
  type OutputStream,
  restLogEntry
} from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { cutLines } from "@aegis/logs"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { errorLine, line } from "./Ndjson.ts"

export const execs = HttpApiBuilder.group(RestApi, "execs", (handlers) =>
  Effect.map(Instances, (instances) =>
    handlers.handle("exec", ({ path: { id }, payload }) => {
      const spec = new ExecSpec({ ...payload })
      const events = instances.exec(id, spec, new ByRest({ route: "POST /v1/instances/{id}/exec" }))
      return Effect.map(begun(events), (running) =>
        HttpServerResponse.stream(Stream.encodeText(documents(running)), { contentType: "application/x-ndjson" })
      )
    })
  )
)

/** The stream, once its first event is there: a failure before it has a status of its own, one after it comes as the last line. */
const begun = (
  events: Stream.Stream<ExecEvent, ExecError>
): Effect.Effect<Stream.Stream<ExecEvent, ExecError>, ExecError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pull = yield* Scope.extend(Stream.toPull(events), scope)
      const first = yield* restore(pull).pipe(
        Effect.catchAll(Option.match({ onNone: () => Effect.succeed(Chunk.empty<ExecEvent>()), onSome: Effect.fail })),
        Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)))
      )
      return Stream.fromChunk(first).pipe(
        Stream.concat(Stream.repeatEffectChunkOption(pull)),
        Stream.ensuring(Scope.close(scope, Exit.void))
      )
    })
  )

const documents = (events: Stream.Stream<ExecEvent, ExecError>) => {
  let cutter: Cutter | undefined
  return events.pipe(
    Stream.mapEffect((event) =>
      Effect.gen(function* () {
        const now = yield* DateTime.now
        if (event._tag === "ExecStarted") {
          const { execId, instanceId } = event
          cutter = makeCutter(instanceId, execId)
          return line(Schema.encodeSync(RestExecStarted)({ exec_id: execId, started_at: now }))
        }
        if (cutter === undefined) return ""
        if (event._tag === "Output") return cutter.take(event.stream, event.bytes, now)
        const { reason } = event
        const exit_code = reason._tag === "Exited" ? reason.code : 128 + reason.signal
        const ended = Schema.encodeSync(RestExecEnded)({ exec_id: cutter.execId, exit_code, done: true })
        return cutter.rest(now) + line(ended)
      })
    ),
    Stream.catchAll((error) => Stream.make(errorLine(error)))
  )
}

interface Cutter {
  readonly execId: ExecId
  /** The lines that are whole now. */
  readonly take: (stream: OutputStream, bytes: Uint8Array, now: DateTime.Utc) => string
  /** What no line feed has ended. */
  readonly rest: (now: DateTime.Utc) => string
}

const makeCutter = (instanceId: InstanceId, execId: ExecId): Cutter => {
  const encode = Schema.encodeSync(restLogEntry(instanceId))
  const held = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  let seq = 0
  const entry = (stream: OutputStream, bytes: Uint8Array, partial: boolean, time: DateTime.Utc) => {
    seq += 1
    const logLine: LogLine = { _tag: "Line", seq, time, stream, source: "exec", execId, bytes, partial }
    return line(encode(logLine))
  }
  return {
    execId,
    take: (stream, bytes, now) => {
      const all = Buffer.concat([held[stream], bytes])
      const whole: Array<string> = []
      const rest = cutLines(all, 0, (from, to, partial) => {
        whole.push(entry(stream, all.subarray(from, to), partial, now))
      })
      held[stream] = all.subarray(rest)
      return whole.join("")
    },
    rest: (now) =>
      (["stdout", "stderr"] as const)
        .map((stream) => (held[stream].length === 0 ? "" : entry(stream, held[stream], true, now)))
        .join("")
  }
}
