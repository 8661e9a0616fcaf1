/**
 * One instance from its record to its end: the fiber that boots it, pumps its output and notices how it ends.
 */
import {
  Created,
  Ended,
  Instance,
  type InstanceId,
  type InstanceSpec,
  NotStarted,
  type RunEvent,
  type StartError,
  Started,
  StateConflict,
  Stopped
} from "@aegis/domain"
import { Machine } from "@aegis/host"
import type { BaseRootfs } from "@aegis/images"
import type { BackendChoice, Vm } from "@aegis/vm"
import type { Workspaces } from "@aegis/workspaces"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { pump } from "./Pump.ts"
import { startGuest } from "./StartGuest.ts"

/** How long the command may take to end after SIGTERM, and the guest to sync and reboot after that. */
const grace = Duration.seconds(5)
const lastGrace = Duration.seconds(2)

/** Events kept for a reader that is slower than the guest; when they are full, the guest's command waits. */
const eventCapacity = 32

export interface LiveInstance {
  /** As it is at this moment. */
  readonly instance: () => Instance
  readonly events: Stream.Stream<RunEvent, StartError>
  /** Nobody will read the events any more: from now on they are dropped, so that the guest does not wait for a reader. */
  readonly unfollow: Effect.Effect<void>
  /** Begins the start and returns. Called once. */
  readonly start: (slots: Effect.Semaphore) => Effect.Effect<void, never, BaseRootfs | BackendChoice | Workspaces>
  readonly writeStdin: (bytes: Uint8Array, end: boolean) => Effect.Effect<void, StateConflict>
  /** Ends the VM if there is one and releases everything. Any number of callers; all of them wait for the same end. */
  readonly end: Effect.Effect<void>
}

/** As many guests may boot at once as the host has processors, twice: more would only make each of them late (T-235). */
export const bootSlots = Effect.flatMap(Machine.limits, ({ cpus }) => Effect.makeSemaphore(cpus * 2))

export const make = (options: {
  readonly id: InstanceId
  readonly spec: InstanceSpec
  readonly createdAt: DateTime.Utc
}): Effect.Effect<LiveInstance> =>
  Effect.gen(function* () {
    const { createdAt, id, spec } = options
    const { command, handle, memoryMib, vcpus } = spec
    let instance = new Instance({ id, handle, state: "starting", command, memoryMib, vcpus, createdAt })
    let stopping = false
    const change = (fields: Partial<Instance>) =>
      Effect.sync(() => {
        instance = new Instance({ ...instance, ...fields })
      })

    const scope = yield* Scope.make()
    const events = yield* Mailbox.make<RunEvent, StartError>({ capacity: eventCapacity })
    const running = yield* Deferred.make<Vm, StartError>()
    yield* events.offer(new Created({ id }))

    const life = (slots: Effect.Semaphore) =>
      Effect.gen(function* () {
        const begun = yield* Clock.currentTimeMillis
        const { vm, workspace } = yield* slots.withPermits(1)(startGuest(id, spec)).pipe(Scope.extend(scope))
        yield* change({ state: "running", workspace })
        yield* Deferred.succeed(running, vm)
        yield* events.offer(new Started({ bootMillis: (yield* Clock.currentTimeMillis) - begun }))
        const reason = yield* pump(vm, (output) => events.offerAll(output))
        const took = (yield* Clock.currentTimeMillis) - begun
        yield* Effect.logInfo(`${id} ended ${took} ms after it was asked for: ${reason._tag}`)
        return stopping ? new Stopped() : reason
      }).pipe(
        Effect.tap((reason) => events.offer(new Ended({ reason }))),
        Effect.tapErrorCause((cause) => Effect.zipRight(Deferred.failCause(running, cause), events.failCause(cause))),
        Effect.catchAll((error) => Effect.succeed(new NotStarted({ code: error._tag, message: error.message }))),
        Effect.tap((ended) =>
          Effect.flatMap(DateTime.now, (stoppedAt) => change({ state: "stopped", stoppedAt, ended }))
        ),
        Effect.zipRight(events.end),
        Effect.withSpan("Instance.life", { attributes: { id } })
      )

    let fiber: Fiber.RuntimeFiber<unknown> | undefined
    const end = yield* Effect.cached(
      Effect.gen(function* () {
        stopping = true
        if (fiber !== undefined && instance.state === "running") {
          const { guest } = yield* Effect.orDie(Deferred.await(running))
          // A guest that is gone before it has answered is on its way down as well.
          yield* Effect.ignore(guest.shutdown(grace)).pipe(
            Effect.zipRight(Fiber.await(fiber)),
            // A timeout interrupts, so what it bounds must be interruptible, also here.
            Effect.interruptible,
            Effect.timeoutOption(Duration.sum(grace, lastGrace))
          )
        }
        if (fiber !== undefined) yield* Fiber.interrupt(fiber)
        yield* Scope.close(scope, Exit.void)
        yield* events.end
      }).pipe(Effect.uninterruptible, Effect.withSpan("Instance.end", { attributes: { id } }))
    )

    const stdin = yield* Effect.cached(
      Effect.gen(function* () {
        const { guest } = yield* Deferred.await(running)
        const own = yield* Scope.fork(scope, { _tag: "Sequential" })
        return { write: yield* Scope.extend(guest.stdin, own), close: Scope.close(own, Exit.void) }
      })
    )

    return {
      instance: () => instance,
      events: Mailbox.toStream(events),
      unfollow: Effect.asVoid(events.shutdown),
      start: (slots) =>
        Effect.map(Effect.forkIn(Effect.interruptible(life(slots)), scope), (forked) => {
          fiber = forked
        }),
      writeStdin: (bytes, last) =>
        Effect.gen(function* () {
          if (!spec.interactive || instance.state === "stopped") {
            return yield* new StateConflict({
              target: id,
              state: instance.state === "stopped" ? "stopped" : "running without a standard input",
              remedy: "start it with -i to feed its standard input"
            })
          }
          const { close, write } = yield* stdin
          if (bytes.length > 0) yield* write(bytes)
          if (last) yield* close
        }).pipe(
          // A command that has gone or reads no more is no failure of the writer's: what it wrote is dropped, as by a closed pipe.
          Effect.catchAll((error) => (error._tag === "StateConflict" ? Effect.fail(error) : Effect.void))
        ),
      end
    }
  })
