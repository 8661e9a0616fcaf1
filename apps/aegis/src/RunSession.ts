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
import * as Stream from "effect/Stream"
import { bootProgress } from "./BootProgress.ts"
import { type GuestLost, type InputFailed, Interrupted } from "./Errors.ts"
import { exitCodeOfEnd, lost } from "./GuestEnd.ts"
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
    const inputFailed = yield* Deferred.make<never, InputFailed>()
    const scope = yield* Effect.scope
    const reason = yield* Ref.make(Option.none<EndReason>())

    const remove = (instance: InstanceId) => Effect.ignore(aegis.remove(instance))
    const removeKnown = Effect.flatMap(
      Deferred.poll(id),
      Option.match({ onNone: () => Effect.void, onSome: Effect.flatMap(remove) })
    )

    const onEvent = (event: RunEvent): Effect.Effect<void, OutputError> => {
      switch (event._tag) {
        case "Output":
          return Effect.andThen(progress.clear, stdio.write(event.stream, event.bytes))
        case "Created":
          return Effect.asVoid(Deferred.succeed(id, event.id))
        case "Preparing":
          return progress.say(pull(event.progress))
        case "Started":
          return Effect.andThen(
            progress.clear,
            spec.interactive ? Effect.asVoid(Effect.forkIn(feed, scope)) : Effect.void
          )
        case "Ended":
          return Effect.andThen(progress.clear, Ref.set(reason, Option.some(event.reason)))
      }
    }

    // RPC has no upload streams: one call after the other keeps the bytes in order.
    const feed = Effect.gen(function* () {
      const instance = yield* Deferred.await(id)
      yield* Stream.runForEach(stdio.input, (bytes) => aegis.writeStdin(instance, bytes, false))
      yield* aegis.writeStdin(instance, new Uint8Array(), true)
    }).pipe(
      Effect.catchTag("InputFailed", (error) => Deferred.fail(inputFailed, error)),
      // The command has ended, or the daemon: the followed stream says which.
      Effect.ignore
    )

    const follow = Effect.raceFirst(Stream.runForEach(aegis.run(spec), onEvent), Deferred.await(inputFailed)).pipe(
      Effect.ensuring(progress.clear)
    )
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
    ? lost("the instance was deleted while its command ran", "aegis instance list shows what there is")
    : exitCodeOfEnd(reason.value)
}
