/**
 * Commands that are run in instances beside their primary one (S-147 to S-158).
 */
import {
  type AttachError,
  type CommandNotStarted,
  type EventCause,
  type ExecError,
  type ExecEvent,
  ExecId,
  type ExecInputError,
  ExecLimit,
  ExecLost,
  ExecNotFound,
  type ExecSpec,
  ExecUnanswered,
  StateConflict,
  type TerminalSize
} from "@aegis/domain"
import { type ChannelError, ExecMessage } from "@aegis/guest"
import { Machine } from "@aegis/host"
import type { Vm } from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { commandRefusal } from "./CommandRefusal.ts"
import * as ExecSession from "./ExecSession.ts"
import type { Life } from "./Life.ts"
import type { Parts } from "./Parts.ts"
import type { Pausing } from "./Pausing.ts"

export type Execs = ReturnType<typeof make>

/** A guest that answers nothing for so long is given up, for this command (T-239). */
const answerLimit = "30 seconds"

/** What an adoption waits for the guest to say which execs it has: one that is paused says it later. */
const adoptLimit = "2 seconds"

export const make = ({ usage }: Parts, { ready }: Pausing) => {
  const sessions = new Map<ExecId, ExecSession.ExecSession>()

  const open = (options: Omit<ExecSession.ExecOptions, "over">) =>
    Effect.gen(function* () {
      const over = Effect.sync(() => void sessions.delete(options.id))
      const session = yield* ExecSession.make({ ...options, over })
      sessions.set(session.id, session)
      return session
    })

  const begin = (target: string, spec: ExecSpec, cause: EventCause) =>
    Effect.gen(function* () {
      const { life, name, vm } = yield* ready(target, cause)
      const id = ExecId.make(`exec-${Buffer.from(yield* Machine.randomBytes(8)).toString("hex")}`)
      const { execs } = vm.guest
      const { detached, interactive, tty } = spec
      yield* execs.start(id, messageOf(spec)).pipe(
        Effect.catchAll((error) => refusal(error, name, spec)),
        Effect.timeoutFail({
          duration: answerLimit,
          onTimeout: () => new ExecUnanswered({ target: name, waited: answerLimit })
        }),
        // It may have been started all the same.
        Effect.onError(() => life.extend(Effect.forkScoped(Effect.interruptible(Effect.ignore(execs.forget(id))))))
      )
      const known = { id, name, life, vm, tty: tty !== undefined, interactive, detached, acked: 0n, noted: 0n }
      return yield* open(known)
    })

  const exec = (target: string, spec: ExecSpec, cause: EventCause): Stream.Stream<ExecEvent, ExecError> =>
    Stream.unwrapScoped(
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const session = yield* restore(begin(target, spec, cause))
          if (spec.detached) {
            yield* session.leave
            return Stream.make(session.started)
          }
          yield* Effect.addFinalizer(() => session.forget)
          yield* usage.follow(session.life.id)
          const gone = () => Stream.fail(new ExecLost({ target, reason: "the command is no more" }))
          return Stream.catchTags(session.events, { ExecNotFound: gone, ExecTaken: gone })
        })
      )
    ).pipe(Stream.withSpan("Instances.exec"))

  /** Those whose guests have not said yet which execs they have. */
  const adoptions = new Set<Fiber.RuntimeFiber<unknown>>()

  const sessionOf = (id: ExecId) => Effect.suspend(() => Effect.fromNullable(sessions.get(id)))

  const find = (id: ExecId): Effect.Effect<ExecSession.ExecSession, ExecNotFound> =>
    sessionOf(id).pipe(
      Effect.orElse(() => Effect.zipRight(Fiber.awaitAll(adoptions), sessionOf(id))),
      Effect.mapError(() => new ExecNotFound({ execId: id }))
    )

  const attach = (id: ExecId, cause: EventCause): Stream.Stream<ExecEvent, AttachError> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const session = yield* find(id)
        yield* usage.follow(session.life.id)
        // A guest that is paused would say nothing.
        yield* Effect.mapError(ready(session.life.id, cause), () => new ExecNotFound({ execId: id }))
        return session.events
      })
    )

  const adoptFrom = (life: Life, vm: Vm, name: string) =>
    Effect.gen(function* () {
      const { execs } = vm.guest
      for (const state of yield* execs.list) {
        const id = ExecId.make(state.id)
        if (!state.detached) {
          yield* execs.forget(id)
          continue
        }
        const { detached, stdin: interactive, tty } = state
        const progress = { acked: BigInt(state.acked), noted: BigInt(state.noted) }
        const session = yield* open({ id, name, life, vm, tty, interactive, detached, ...progress })
        yield* session.leave
      }
    })

  /**
   * Goes on with what an earlier daemon has left in a guest, as soon as that answers: those that are detached; the readers of all
   * others are gone. The fiber ends when that is done, or the life is over.
   */
  const adopt = (life: Life, name: string) =>
    Effect.gen(function* () {
      const adopting = Effect.matchEffect(life.running, {
        onFailure: () => life.over,
        onSuccess: (vm) =>
          life
            .extend(Effect.forkScoped(Effect.ignoreLogged(adoptFrom(life, vm, name))))
            .pipe(Effect.flatMap(Fiber.await), Effect.timeoutOption(adoptLimit))
      })
      const fiber = yield* Effect.forkScoped(adopting)
      adoptions.add(fiber)
      fiber.addObserver(() => adoptions.delete(fiber))
      return fiber
    })

  const withSession =
    <A extends ReadonlyArray<unknown>>(
      act: (session: ExecSession.ExecSession, ...args: A) => Effect.Effect<void, ExecInputError>
    ) =>
    (id: ExecId, ...args: A): Effect.Effect<void, ExecInputError> =>
      Effect.flatMap(find(id), (session) => act(session, ...args))

  return {
    exec,
    attach,
    adopt,
    writeExec: withSession((session, bytes: Uint8Array, end: boolean) => session.write(bytes, end)),
    resizeExec: withSession((session, size: TerminalSize) => session.resize(size)),
    signalExec: withSession((session, signal: number) => session.signal(signal))
  }
}

const messageOf = ({ command, detached, env, interactive, tty, user, workdir }: ExecSpec) =>
  new ExecMessage({
    argv: command,
    env: { ...(tty === undefined ? {} : { TERM: "xterm" }), ...env },
    uid: user.uid,
    gid: user.gid,
    stdin: interactive ? "pipe" : "null",
    detached,
    ...(workdir === undefined ? {} : { cwd: workdir }),
    ...(tty === undefined ? {} : { tty })
  })

const refusal = (
  error: ChannelError,
  target: string,
  spec: ExecSpec
): Effect.Effect<never, ExecLost | ExecLimit | StateConflict | CommandNotStarted> => {
  if (error._tag !== "HarnessRefused") return new ExecLost({ target, reason: error.message })
  const notStarted = commandRefusal(spec.command[0], error)
  if (notStarted !== undefined) return notStarted
  switch (error.code) {
    case "limit":
      return new ExecLimit({ target, reason: error.message })
    case "state":
      return new StateConflict({ target, state: "stopping", remedy: `aegis why ${target} says why` })
    default:
      return new ExecLost({ target, reason: error.message })
  }
}
