/**
 * The tool `exec`: a command in an instance that is there, beside its primary one.
 */
import { Aegis } from "@aegis/client"
import {
  Command,
  Environment,
  type ExecEnded,
  ExecId,
  ExecSpec,
  type ExecStarted,
  Exited,
  GuestPath,
  GuestUser,
  InstanceId,
  Signaled
} from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { capturedFields, CapturedOutput } from "../CapturedOutput.ts"
import { heartbeat } from "../Heartbeat.ts"
import { type Failure, type Tool, tool } from "../Tool.ts"
import { Target } from "./Instances.ts"
import { exitCodeOf } from "./Run.ts"

/** The most text that a command gets as its standard input, in bytes of UTF-8. */
const stdinLimit = 1024 * 1024

/** One call's part of it. */
const stdinPiece = 128 * 1024

const Input = Schema.Struct({
  ...Target.fields,
  command: Command.annotations({
    description: 'The program and its arguments, one string each; no shell reads them: ["sh", "-c", "…"] for its line.'
  }),
  env: Schema.optional(Environment.annotations({ description: "Variables besides those of the instance's command." })),
  workdir: Schema.optional(
    GuestPath.annotations({
      description: "An absolute path in the guest; without it the directory of the instance's command."
    })
  ),
  user: Schema.optional(
    Schema.Struct({ uid: GuestUser.fields.uid, gid: Schema.optional(GuestUser.fields.gid) }).annotations({
      description: "Who runs it, by numbers; root where it is not given. Without gid it is the one with uid's number."
    })
  ),
  stdin: Schema.optional(
    Schema.String.pipe(
      Schema.filter((text) =>
        Buffer.byteLength(text) <= stdinLimit
          ? undefined
          : `standard input has at most ${stdinLimit} bytes: bring more with file_write`
      )
    ).annotations({ description: "What it reads on standard input, at most 1 MiB; empty where it is not given." })
  ),
  timeout_seconds: Schema.optional(
    Schema.Number.pipe(Schema.greaterThan(0), Schema.lessThanOrEqualTo(86_400)).annotations({
      description: "For how long it may run: it is ended then, and what it has printed is the answer."
    })
  )
})

const Finished = Schema.Struct({
  instance: InstanceId,
  exec_id: ExecId,
  exit_code: Schema.optional(
    Schema.Int.annotations({ description: "128 + N where signal N ended it; none where its time was up." })
  ),
  ended: Schema.optional(Schema.Union(Exited, Signaled).annotations({ description: "How it ended." })),
  timed_out: Schema.Boolean.annotations({ description: "Whether it was ended since its time was up." }),
  ...capturedFields
})

export const execTools: ReadonlyArray<Tool> = [
  tool({
    name: "exec",
    title: "Run a command in an instance",
    description:
      "Runs a command in an instance beside its primary one and answers with its output and exit code. An instance that is paused is resumed, one that starts is waited for, one that is stopped is refused. Cancelling the call ends the command. Long output is cut in its middle; logs, with the `exec_id` of the answer as `exec`, has all of it.",
    // It can remove whatever the guest has, and reaches what the guest reaches.
    effects: { destructive: true, openWorld: true },
    input: Input,
    output: Finished,
    handle: ({ stdin, target, timeout_seconds, ...asked }, call) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const output = new CapturedOutput()
        const running = yield* Deferred.make<ExecStarted>()
        let started: ExecStarted | undefined
        let ended: ExecEnded | undefined

        const feed = ({ execId }: ExecStarted, text: string) =>
          Effect.gen(function* () {
            const bytes = Buffer.from(text)
            let at = 0
            do {
              const end = at + stdinPiece
              yield* aegis.writeExec(execId, bytes.subarray(at, end), end >= bytes.length)
              at = end
            } while (at < bytes.length)
            // A command that does not want it says so itself, and whatever else is wrong comes with the events.
          }).pipe(Effect.ignore)

        const begin = (event: ExecStarted) =>
          Effect.gen(function* () {
            started = event
            yield* Deferred.succeed(running, event)
            yield* Effect.forkScoped(heartbeat(call, output))
            if (stdin !== undefined) yield* Effect.forkScoped(feed(event, stdin))
            yield* call.progress(`the command runs as ${event.execId}`)
          })

        const timeIsUp =
          timeout_seconds === undefined
            ? Effect.never
            : Effect.zipRight(Deferred.await(running), Effect.sleep(Duration.seconds(timeout_seconds)))

        const events = aegis.exec(target, specOf(asked, stdin !== undefined))
        yield* Stream.runForEach(Stream.interruptWhen(events, timeIsUp), (event) => {
          switch (event._tag) {
            case "ExecStarted":
              return begin(event)
            case "Output":
              return Effect.sync(() => output.push(event))
            case "ExecEnded":
              return Effect.sync(() => (ended = event))
          }
        })
        if (started === undefined || (ended === undefined && timeout_seconds === undefined)) {
          return yield* Effect.fail(cutShort)
        }
        const { execId, instanceId } = started
        return {
          instance: instanceId,
          exec_id: execId,
          ...(ended === undefined ? {} : { exit_code: exitCodeOf(ended.reason), ended: ended.reason }),
          timed_out: ended === undefined,
          ...output.shown(
            `The output was cut. All of it is in the log: call logs with target "${instanceId}", exec "${execId}", after 0.`
          )
        }
      }).pipe(Effect.scoped)
  })
]

const specOf = (
  { command, env, user, workdir }: Pick<typeof Input.Type, "command" | "env" | "user" | "workdir">,
  interactive: boolean
) =>
  new ExecSpec({
    command,
    interactive,
    ...(env === undefined ? {} : { env }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user: { uid: user.uid, gid: user.gid ?? user.uid } })
  })

const cutShort: Failure = {
  _tag: "ExecCutShort",
  message: "aegisd ended the stream before the command's end",
  remedy: "look at the tool why, and try again"
}
