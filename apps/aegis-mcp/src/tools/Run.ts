/**
 * The tool `run`: a command in a microVM that is gone when the call is over.
 */
import { Aegis } from "@aegis/client"
import { EndReason, InstanceId, type RunEvent } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { capturedFields, CapturedOutput } from "../CapturedOutput.ts"
import { heartbeat } from "../Heartbeat.ts"
import { instanceSpec, SpecInput } from "../SpecInput.ts"
import { type Call, type Failure, type Tool, tool } from "../Tool.ts"

const Finished = Schema.Struct({
  instance: InstanceId,
  exit_code: Schema.optional(
    Schema.Int.annotations({
      description: "The command's own; 128 + N where signal N ended it; none where its machine was lost."
    })
  ),
  ended: EndReason.annotations({ description: "How it ended." }),
  ...capturedFields
})

export const runTools: ReadonlyArray<Tool> = [
  tool({
    name: "run",
    title: "Run a command in a fresh microVM",
    description:
      "Boots a microVM, runs the command in it, answers with its output and exit code, and removes every trace of the machine. Cancelling the call ends and removes it too. Each call is a new machine: files last only in a workspace that is named. Long output is cut in its middle.",
    // With a directory of the host to write to, the command can remove what is in it.
    effects: { destructive: true, openWorld: true },
    input: SpecInput,
    output: Finished,
    handle: (input, call) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const spec = instanceSpec(input)
        const output = new CapturedOutput()
        let instance: InstanceId | undefined
        let ended: EndReason | undefined
        yield* Stream.runForEach(aegis.run(spec), (event) =>
          Effect.gen(function* () {
            if (event._tag === "Created") instance = event.id
            if (event._tag === "Started") yield* Effect.forkScoped(heartbeat(call, output))
            if (event._tag === "Output") output.push(event)
            if (event._tag === "Ended") ended = event.reason
            yield* tell(event, call)
          })
        )
        if (instance === undefined || ended === undefined) return yield* Effect.fail(cutShort)
        const exitCode = exitCodeOf(ended)
        return {
          instance,
          ...(exitCode === undefined ? {} : { exit_code: exitCode }),
          ended: bounded(ended),
          ...output.shown(howToGoOn)
        }
      }).pipe(Effect.scoped)
  })
]

const howToGoOn =
  "The output was cut. To read all of it, run the command again with a named workspace and write to a file there, or start it with instance_start and page through it with logs."

const cutShort: Failure = {
  _tag: "RunCutShort",
  message: "aegisd ended the stream before the command's end",
  remedy: "look at the tool events, and try again"
}

/** The console's last words are long; its end says what happened. */
const bounded = (reason: EndReason): EndReason =>
  reason._tag === "VmDied" || reason._tag === "NotStarted"
    ? { ...reason, consoleTail: reason.consoleTail.slice(-400) }
    : reason

/** The command's own; 128 + N for signal N; none for an end that is not the command's. */
export const exitCodeOf = (reason: EndReason): number | undefined =>
  reason._tag === "Exited" ? reason.code : reason._tag === "Signaled" ? 128 + reason.signal : undefined

const tell: (event: RunEvent, call: Call) => Effect.Effect<void> = (event, { progress }) =>
  Match.value(event).pipe(
    Match.tagsExhaustive({
      Created: ({ id }) => progress(`${id} is being made`),
      Preparing: ({ progress: step }) => progress(`bringing the image: ${step._tag}`),
      Started: ({ bootMillis }) => progress(`the command runs, after ${Math.round(bootMillis)} ms`),
      Serving: ({ address }) => progress(`serving on ${address}`),
      Output: () => Effect.void,
      Ended: () => progress("the command has ended")
    })
  )
