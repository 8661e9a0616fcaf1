/**
 * One life of an instance: from the beginning of its boot, or its adoption, to the moment when nothing of its VM is left and the
 * journal says so.
 */
import {
  type EndReason,
  type ExecId,
  type InstanceId,
  type InstanceSpec,
  NotStarted,
  type StartError,
  StateConflict,
  Stopped
} from "@aegis/domain"
import { ChannelBroken, type OutputFrame } from "@aegis/guest"
import { crashPoint } from "@aegis/host"
import { type LogRecord, LogStore, type LogWriter } from "@aegis/logs"
import type { Vm } from "@aegis/vm"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { endInWords } from "./EndInWords.ts"
import { pump } from "./Pump.ts"
import * as StdinFeed from "./StdinFeed.ts"

/** What a VM has to end by itself. */
export interface Grace {
  /** From SIGTERM to SIGKILL of the guest's commands. */
  readonly commands: Duration.Duration
  /** What the guest may take to sync and reboot after its commands have ended; then its VM is killed. */
  readonly reboot: Duration.Duration
}

/** A VM that has come up, and what is to be read of its guest from where. */
export interface Beginning {
  readonly vm: Vm
  /** The number of the last guest event that was dealt with before. */
  readonly after: bigint
  /** From the request to the guest's running; none for a VM that ran already. */
  readonly bootMillis: number | undefined
}

export interface LifeOptions<R> {
  readonly id: InstanceId
  readonly spec: InstanceSpec
  /** Its VM was there before: who stops it early waits for its guest, which is to end its commands in peace. */
  readonly runsAlready?: boolean
  /** Brings the VM up; what it acquires lives until the life's end. It has written down that the instance runs when it succeeds. */
  readonly begin: (log: LogWriter) => Effect.Effect<Beginning, StartError, R | Scope.Scope>
  /** Told once it runs. */
  readonly started: (beginning: Beginning) => Effect.Effect<unknown>
  /** Takes the guest's output, after it is in the log. */
  readonly output: (output: ReadonlyArray<OutputFrame>) => Effect.Effect<unknown>
  /** Writes the end down, when nothing of the VM is left. */
  readonly end: (reason: EndReason, life: Duration.Duration) => Effect.Effect<void>
}

export interface Life {
  readonly id: InstanceId
  /** The VM, once its command runs; or what its start failed with. */
  readonly running: Effect.Effect<Vm, StartError>
  readonly isRunning: Effect.Effect<boolean>
  /** Succeeds when it is over: the end is written down. */
  readonly over: Effect.Effect<EndReason>
  /** Ends it: SIGTERM, the grace, SIGKILL. Any number of callers; all of them wait for the same end. */
  readonly stop: (grace: Grace, reason: EndReason) => Effect.Effect<void>
  readonly writeStdin: (bytes: Uint8Array, end: boolean) => Effect.Effect<void, StateConflict>
  /** Adds a `[system]` line to its log. */
  readonly note: (text: string) => Effect.Effect<void>
  /** Stores output in its log. */
  readonly record: (records: ReadonlyArray<LogRecord>) => Effect.Effect<void>
  /** Says to its log that no more comes from this exec. */
  readonly endOfExec: (execId: ExecId) => Effect.Effect<void>
  /** What the effect acquires lives as long as the VM. */
  readonly extend: <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.Effect<A, E>
  /** Lets go of the VM as it is, and of its log: the next daemon goes on with them. */
  readonly leave: Effect.Effect<void>
}

/** Begins a life and returns. It belongs to nobody's scope: it ends by itself, by `stop`, or by `leave`. */
export const begin = <R>(options: LifeOptions<R>): Effect.Effect<Life, never, R | LogStore> =>
  Effect.gen(function* () {
    const { id, spec } = options
    const logs = yield* LogStore
    const vmScope = yield* Scope.make()
    const logScope = yield* Scope.make()
    const running = yield* Deferred.make<Vm, StartError>()
    const over = yield* Deferred.make<EndReason>()
    const bornAt = yield* Clock.currentTimeMillis
    let asked = Option.none<EndReason>()
    let left = false
    let ending = false
    let writer: LogWriter | undefined

    const note = (text: string) =>
      Effect.suspend(() => (writer === undefined ? Effect.void : Effect.ignoreLogged(writer.system(text))))

    /** A full disk costs lines, which are counted, and never holds the guest up (T-294). */
    const record: Life["record"] = (records) =>
      Effect.suspend(() => {
        const log = writer
        return log === undefined ? Effect.void : Effect.catchAll(log.append(records), () => log.discard(records))
      })

    const store = (output: ReadonlyArray<OutputFrame>) =>
      record(output.map(({ bytes, seq, stream }) => ({ source: "primary", stream, bytes, guestSeq: seq })))

    const body = Effect.gen(function* () {
      const log = yield* Scope.extend(logs.open(id), logScope)
      writer = log
      const beginning = yield* Scope.extend(options.begin(log), vmScope)
      const { after, bootMillis, vm } = beginning
      yield* Deferred.succeed(running, vm)
      yield* note(
        bootMillis === undefined ? "aegisd has started again and goes on with it" : `started in ${bootMillis} ms`
      )
      yield* options.started(beginning)
      return yield* pump(vm, after, (output) => Effect.zipRight(store(output), options.output(output)))
    })

    const reasonOf = (exit: Exit.Exit<EndReason, StartError>): Effect.Effect<EndReason> => {
      if (Option.isSome(asked)) return Effect.succeed(asked.value)
      if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
      if (Cause.isInterruptedOnly(exit.cause)) return Effect.succeed(new Stopped())
      return Option.match(Cause.failureOption(exit.cause), {
        onSome: (error) =>
          Effect.succeed(
            new NotStarted({
              code: error._tag,
              message: error.message,
              consoleTail: "consoleTail" in error ? error.consoleTail : ""
            })
          ),
        onNone: () =>
          Effect.as(
            Effect.logError(`${id} failed with a defect`, exit.cause),
            new NotStarted({ code: "Defect", message: "a bug of aegisd: its log has the details", consoleTail: "" })
          )
      })
    }

    /** Who waits for a start that was called off is told so, and not interrupted. */
    const startFailure = (cause: Cause.Cause<StartError>): Cause.Cause<StartError> =>
      Cause.isInterruptedOnly(cause)
        ? Cause.fail(
            new StateConflict({ target: id, state: "stopped before it ran", remedy: "aegis why says who stopped it" })
          )
        : cause

    /** A fault of ours in letting go of something is told, and keeps nobody from writing the end down. */
    const closing = (scope: Scope.CloseableScope) =>
      Effect.catchAllCause(Scope.close(scope, Exit.void), (cause) =>
        Effect.logError(`${id} did not let go of everything`, cause)
      )

    const life = Effect.uninterruptible(
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.interruptible(body))
        ending = true
        if (left) return yield* Scope.close(logScope, Exit.void)
        yield* crashPoint("the guest has ended")
        yield* closing(vmScope)
        yield* crashPoint("the VM is gone")
        const reason = yield* reasonOf(exit)
        yield* note(endInWords(reason))
        yield* closing(logScope)
        const lived = Duration.millis((yield* Clock.currentTimeMillis) - bornAt)
        yield* Effect.logInfo(`${id} ended ${Duration.toMillis(lived)} ms after it was asked for: ${reason._tag}`)
        yield* options.end(reason, lived)
        yield* crashPoint("the end is written down")
        if (Exit.isFailure(exit)) yield* Deferred.failCause(running, startFailure(exit.cause))
        yield* Deferred.succeed(over, reason)
      })
    ).pipe(Effect.withSpan("Instance.life", { attributes: { id } }))

    // Uninterruptible from its first step: a life that is called off before it has begun must come to its end all the same.
    const fiber = yield* Effect.uninterruptible(Effect.forkDaemon(life))

    const stop: Life["stop"] = (grace, reason) =>
      Effect.gen(function* () {
        asked = Option.orElse(asked, () => Option.some(reason))
        if (options.runsAlready === true) {
          yield* Deferred.await(running).pipe(Effect.interruptible, Effect.timeoutOption(grace.commands), Effect.ignore)
        }
        const vm = yield* Deferred.poll(running)
        const patience = Duration.sum(grace.commands, grace.reboot)
        // One that has no time to end is not told to: it would take the processor from those that have.
        if (Option.isSome(vm) && Duration.greaterThan(patience, Duration.zero)) {
          // A guest that is gone before it has answered is on its way down as well. One that is paused hears nothing.
          yield* Effect.flatMap(vm.value, ({ guest, resume }) =>
            Effect.zipRight(resume, guest.shutdown(grace.commands))
          ).pipe(
            Effect.ignore,
            Effect.zipRight(Deferred.await(over)),
            // A timeout interrupts, so what it bounds must be interruptible, also here.
            Effect.interruptible,
            Effect.timeoutOption(patience)
          )
        }
        // One that lets go of its VM already is not hurried: what a finalizer waits for would be interrupted, and not waited for.
        yield* Effect.suspend(() => Effect.asVoid(ending ? Fiber.await(fiber) : Fiber.interrupt(fiber)))
      }).pipe(Effect.uninterruptible, Effect.withSpan("Instance.end", { attributes: { id } }))

    const stdin = yield* StdinFeed.make(
      Deferred.await(running).pipe(
        Effect.mapError(({ message }) => new ChannelBroken({ message })),
        Effect.flatMap(({ guest }) => guest.stdin)
      ),
      vmScope
    )

    return {
      id,
      running: Deferred.await(running),
      isRunning: Deferred.isDone(running),
      over: Deferred.await(over),
      stop,
      note,
      record,
      endOfExec: (execId) =>
        Effect.suspend(() => (writer === undefined ? Effect.void : Effect.ignoreLogged(writer.end({ execId })))),
      extend: (effect) => Scope.extend(effect, vmScope),
      writeStdin: (bytes, last) =>
        Effect.gen(function* () {
          if (!spec.interactive) {
            return yield* new StateConflict({
              target: id,
              state: "running without a standard input",
              remedy: "start it with -i to feed its standard input"
            })
          }
          yield* stdin(bytes, last)
        }).pipe(
          // A command that has gone or reads no more is no failure of the writer's: what it wrote is dropped, as by a closed pipe.
          Effect.catchAll((error) => (error._tag === "StateConflict" ? Effect.fail(error) : Effect.void))
        ),
      leave: Effect.suspend(() => {
        left = true
        return Effect.asVoid(Fiber.interrupt(fiber))
      })
    }
  })
