/**
 * How instances come to life: created or started again, followed by a client or not.
 */
import {
  ByDaemon,
  ByGuest,
  Created,
  Ended,
  type EventCause,
  HandleTaken,
  HostWorkspace,
  InstanceCreated,
  type InstanceId,
  InstanceSpec,
  type NotFound,
  Output,
  parseImageSource,
  PortsAssigned,
  Preparing,
  type PullProgress,
  type RunEvent,
  type StartError,
  Serving,
  Started,
  StartOutcome,
  StateConflict,
  withBlankEnvironment
} from "@aegis/domain"
import type { OutputFrame } from "@aegis/guest"
import { crashPoint } from "@aegis/host"
import type { InstanceRecord } from "@aegis/journal"
import { Vault } from "@aegis/vault"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { Ending } from "./Ending.ts"
import { Action } from "./Lifecycle.ts"
import { applyChange, recordFlows } from "./Networks.ts"
import type { Parts } from "./Parts.ts"
import { checkSecrets } from "./Secrets.ts"
import { bootSlots, checkResources } from "./Resources.ts"
import { startGuest } from "./StartGuest.ts"
import { recordOf } from "./Vms.ts"

/** Events kept for a reader of `run` that is slower than the guest; when they are full, the guest's command waits. */
const eventCapacity = 32

/** Who follows a life from its record on: the reader of `run`. */
interface Listener {
  readonly created: (id: InstanceId) => Effect.Effect<unknown>
  /** Called from outside of Effect, many times a second. */
  readonly preparing: (progress: PullProgress) => void
  readonly started: (bootMillis: number) => Effect.Effect<unknown>
  readonly output: (output: ReadonlyArray<OutputFrame>) => Effect.Effect<unknown>
}
const nobody: Listener = {
  preparing: () => undefined,
  created: () => Effect.void,
  started: () => Effect.void,
  output: () => Effect.void
}

/** What is written down of a specification: a `run` is never started again, so the values of its environment are nobody's business. */
const toKeep = (spec: InstanceSpec) => (spec.ephemeral ? withBlankEnvironment(spec, "") : spec)

/** A path is resolved once: a link that leads elsewhere later does not change what an instance has (T-136). */
const withRealPath = (spec: InstanceSpec, path: string) =>
  spec.workspace._tag === "HostPath"
    ? new InstanceSpec({ ...spec, workspace: new HostWorkspace({ ...spec.workspace, path }) })
    : spec

export type Starting = Effect.Effect.Success<ReturnType<typeof make>>

export const make = (
  { act, found, lifeOf, live, lock, ports, records, shown, vault, workspaces, writeEnd }: Parts,
  { removeId }: Ending
) =>
  Effect.gen(function* () {
    const slots = yield* bootSlots
    const secretsOf = (spec: InstanceSpec) => Effect.provideService(checkSecrets(spec), Vault, vault)

    const boot = (id: InstanceId, spec: InstanceSpec, cause: EventCause, listener: Listener) =>
      live({
        id,
        spec,
        begin: (log) =>
          Effect.gen(function* () {
            const begun = yield* Clock.currentTimeMillis
            yield* listener.created(id)
            yield* Effect.ignoreLogged(log.system("starting"))
            const { vm } = yield* slots.withPermits(1)(startGuest(id, spec, cause, listener.preparing))
            yield* log.guestBooted
            const bootMillis = (yield* Clock.currentTimeMillis) - begun
            yield* act(id, new ByGuest(), Action.Started({ bootMillis, vm: recordOf(vm) })).pipe(
              Effect.catchTags({ NotFound: Effect.die, NotNow: Effect.die })
            )
            yield* crashPoint("the start is written down")
            yield* applyChange(records, id, spec, vm)
            yield* recordFlows(records, id, vm)
            return { vm, after: 0n, bootMillis }
          }),
        started: ({ bootMillis = 0 }) => listener.started(bootMillis),
        output: listener.output,
        end: writeEnd(id, new ByGuest())
      })

    /** A record of its own, and its first life. */
    const create = (asked: InstanceSpec, cause: EventCause, listener: Listener) =>
      Effect.gen(function* () {
        yield* checkResources(asked)
        if (asked.image !== undefined) yield* parseImageSource(asked.image)
        yield* secretsOf(asked)
        const id = yield* records.nextId
        const workspace = yield* workspaces.locate(id, asked.workspace)
        const spec = withRealPath(asked, workspace)
        yield* crashPoint("nothing is written yet")
        const { bindings } = yield* ports.open(id, spec.exposes, [])
        const created = new InstanceCreated({ spec: toKeep(spec), image: spec.image, workspace })
        const record = yield* Effect.gen(function* () {
          const inserted = yield* records.insert(id, cause, created)
          yield* crashPoint("the record is there")
          if (bindings.length === 0) return inserted
          return yield* Effect.catchTag(
            records.update(id, cause, [new PortsAssigned({ ports: bindings })]),
            "NotFound",
            Effect.die
          )
        }).pipe(Effect.onError(() => ports.close(id)))
        yield* boot(id, spec, cause, listener)
        return record
      })

    /** Where the record says `stopped`, the life that ended has been cleared away as well. */
    const settled = (id: InstanceId) =>
      Effect.gen(function* () {
        const { state } = yield* records.get(id)
        const life = lifeOf(id)
        if (state === "stopped" && Option.isSome(life)) yield* life.value.over
      })

    const restartRecord = (
      found: InstanceRecord,
      cause: EventCause
    ): Effect.Effect<StartOutcome, NotFound | StartError> =>
      lock(found.id)(
        Effect.gen(function* () {
          yield* checkResources(found.spec)
          yield* secretsOf(found.spec)
          yield* workspaces.check(found.spec.workspace)
          yield* settled(found.id)
          const record = yield* act(found.id, cause, Action.Restart()).pipe(
            Effect.catchTag("NotNow", ({ state }): Effect.Effect<never, StateConflict | HandleTaken> => {
              const name = found.handle ?? found.id
              return state === "paused"
                ? new StateConflict({ target: name, state, remedy: `aegis instance resume ${name}` })
                : new HandleTaken({ handle: name, state })
            })
          )
          yield* crashPoint("the restart is written down")
          yield* boot(record.id, record.spec, cause, nobody)
          return new StartOutcome({ instance: shown(record), restarted: true })
        })
      )

    const start = (spec: InstanceSpec, cause: EventCause): Effect.Effect<StartOutcome, StartError> =>
      Effect.gen(function* () {
        const existing = spec.handle === undefined ? Option.none() : yield* found(spec.handle)
        if (Option.isSome(existing)) {
          return yield* Effect.catchTag(restartRecord(existing.value, cause), "NotFound", () => start(spec, cause))
        }
        const record = yield* create(spec, cause, nobody)
        return new StartOutcome({ instance: shown(record), restarted: false })
      })

    /** Waits until its first exposed port takes connections, and says where; never, where it does not. */
    const serving = (id: InstanceId, router: string | undefined) =>
      Effect.gen(function* () {
        const life = lifeOf(id)
        const [first] = (yield* records.get(id)).ports
        if (Option.isNone(life) || first === undefined) return
        const { guest } = yield* life.value.running
        const probe = yield* Effect.retry(guest.tunnel(first.guest), {
          schedule: Schedule.spaced("100 millis"),
          while: ({ _tag }) => _tag === "HarnessRefused"
        })
        probe.destroy()
        const own = first.protocol === "tcp" ? `127.0.0.1:${first.host}` : `http://127.0.0.1:${first.host}`
        return new Serving({ address: first.protocol === "http" ? (router ?? own) : own })
      })

    const run = (
      spec: InstanceSpec,
      cause: EventCause,
      router: string | undefined
    ): Stream.Stream<RunEvent, StartError> =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          const events = yield* Mailbox.make<RunEvent, StartError>({ capacity: eventCapacity })
          const record = yield* Effect.acquireRelease(
            create(spec, cause, {
              created: (id) => events.offer(new Created({ id })),
              // What the reader is too slow for is told by the next step.
              preparing: (progress) => void events.unsafeOffer(new Preparing({ progress }, true)),
              started: (bootMillis) => events.offer(new Started({ bootMillis })),
              output: (output) => events.offerAll(output.map(({ bytes, stream }) => new Output({ stream, bytes })))
            }),
            ({ id }) =>
              // Nobody reads any more: the guest must not wait for a reader.
              Effect.zipRight(events.shutdown, removeId(id, new ByDaemon({ because: "the run was over" }))).pipe(
                Effect.catchTag("NotFound", () => Effect.void),
                Effect.catchAll((error) => Effect.logError(`${id} was not removed: ${error.message}`))
              )
          )
          const life = lifeOf(record.id)
          if (Option.isSome(life)) {
            const told = Effect.flatMap(life.value.over, (reason) =>
              reason._tag === "NotStarted"
                ? Effect.catchAllCause(life.value.running, (failure) => events.failCause(failure))
                : Effect.zipRight(events.offer(new Ended({ reason })), events.end)
            )
            yield* Effect.forkScoped(Effect.interruptible(told))
            const announced = Effect.flatMap(serving(record.id, router), (event) =>
              event === undefined ? Effect.void : Effect.asVoid(events.offer(event))
            )
            yield* Effect.forkScoped(Effect.interruptible(Effect.ignore(announced)))
          }
          return Mailbox.toStream(events)
        })
      )

    return { start, restartRecord, run }
  })
