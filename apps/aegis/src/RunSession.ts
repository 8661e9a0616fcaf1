/**
 * One `aegis run`, from the request to the exit code: output through, input in, and nothing left behind however it ends.
 */
import { Aegis } from "@aegis/client"
import type { DaemonUnreachable, EndReason, InstanceId, InstanceSpec, RunEvent, StartError } from "@aegis/domain"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import { bootProgress } from "./BootProgress.ts"
import { type GuestLost, type InputFailed, Interrupted } from "./Errors.ts"
import { exitCodeOfEnd, lost } from "./GuestEnd.ts"
import { followGuest, type InputWriter } from "./GuestSession.ts"
import { pullText } from "./PullText.ts"
import { Signals } from "./Signals.ts"
import { type OutputError, Stdio } from "./Stdio.ts"

/** What a guest may still print after it has been removed: its last words are on their way. */
const lastWords = "2 seconds"

export type RunError = StartError | DaemonUnreachable | GuestLost | OutputError | InputFailed | Interrupted

/**
 * Runs a command in a guest and succeeds with the exit code for it. On a signal the instance is deleted, its further output still
 * shown, and `Interrupted` the result; when our reader has gone, the instance is deleted too.
 */
export const runSession = (spec: InstanceSpec): Effect.Effect<number, RunError, Aegis | Stdio | Signals> =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const signals = yield* Signals
    const progress = yield* bootProgress
    const pull = pullText()
    const id = yield* Deferred.make<InstanceId>()
    const reason = yield* Ref.make(Option.none<EndReason>())

    const remove = (instance: InstanceId) => Effect.ignore(aegis.remove(instance))
    const removeKnown = Effect.flatMap(
      Deferred.poll(id),
      Option.match({ onNone: () => Effect.void, onSome: Effect.flatMap(remove) })
    )

    const onEvent = (
      event: RunEvent,
      feed: (write: InputWriter) => Effect.Effect<void>
    ): Effect.Effect<void, OutputError> => {
      switch (event._tag) {
        case "Output":
          return Effect.andThen(progress.clear, stdio.write(event.stream, event.bytes))
        case "Created":
          return Effect.asVoid(Deferred.succeed(id, event.id))
        case "Preparing":
          return progress.say(pull(event.progress))
        case "Started":
          return Effect.andThen(progress.clear, spec.interactive ? feed(writeStdin) : Effect.void)
        case "Serving":
          return Effect.andThen(progress.clear, stdio.print(`Serving on ${event.address}\n`))
        case "Ended":
          return Effect.andThen(progress.clear, Ref.set(reason, Option.some(event.reason)))
      }
    }

    const writeStdin: InputWriter = (bytes, end) =>
      Effect.flatMap(Deferred.await(id), (instance) => aegis.writeStdin(instance, bytes, end))

    const follow = Effect.ensuring(followGuest({ events: aegis.run(spec), onEvent }), progress.clear)
    const following = yield* Effect.forkScoped(follow)
    const signal = yield* Effect.raceFirst(
      Effect.as(Fiber.await(following), Option.none()),
      Effect.map(signals.first, Option.some)
    )

    if (Option.isSome(signal)) {
      yield* progress.clear
      yield* stdio.note("\nStopping instance...\n")
      const known = yield* Effect.raceFirst(
        Effect.map(Deferred.await(id), Option.some),
        Effect.as(Fiber.await(following), Option.none())
      )
      if (Option.isSome(known)) yield* remove(known.value)
      yield* Effect.timeoutOption(Fiber.await(following), lastWords)
      return yield* new Interrupted({ signal: signal.value })
    }

    yield* Fiber.join(following).pipe(
      // The failure is ours and the daemon may not have noticed it yet: the caller must find nothing left.
      Effect.tapErrorTag("OutputClosed", () => removeKnown),
      Effect.tapErrorTag("OutputFailed", () => removeKnown),
      Effect.tapErrorTag("InputFailed", () => removeKnown)
    )
    return yield* outcome(yield* Ref.get(reason))
  }).pipe(Effect.scoped)

/** Ends that are not the command's own are failures of the run. */
const outcome = (reason: Option.Option<EndReason>): Effect.Effect<number, GuestLost, Stdio> => {
  if (Option.isNone(reason)) {
    return lost("the daemon stopped telling about the guest", "aegis status shows whether it runs")
  }
  return reason.value._tag === "Stopped"
    ? lost("the instance was stopped while its command ran", "aegis events --since 1m shows by whom, and why")
    : exitCodeOfEnd(reason.value)
}
