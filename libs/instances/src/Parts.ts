/**
 * What the parts of the runtime share: the records, the lives of those that are alive, and the one way to change a state.
 */
import type { EndReason, EventCause, InstanceId } from "@aegis/domain"
import type { BaseRootfs } from "@aegis/images"
import { ImageStore } from "@aegis/images"
import { type InstanceRecord, InstanceRecords, Journal } from "@aegis/journal"
import { LogStore } from "@aegis/logs"
import { IdleTunnels, PortListeners } from "@aegis/router"
import { Vault } from "@aegis/vault"
import type { BackendChoice } from "@aegis/vm"
import { Workspaces } from "@aegis/workspaces"
import type * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as EndpointUses from "./EndpointUses.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as Life from "./Life.ts"
import { Action, crashLoop, decide, NotNow, shortLives } from "./Lifecycle.ts"
import * as Usage from "./Usage.ts"
import { instanceOf } from "./View.ts"

/** What a VM has to end by itself, where nobody said. */
export const usualGrace: Life.Grace = { commands: Duration.seconds(5), reboot: Duration.seconds(2) }

/** What a life needs. */
export type Services =
  BackendChoice | BaseRootfs | ImageStore | InstanceRecords | Journal | LogStore | PortListeners | Vault | Workspaces

/** Asked in the transaction of a decision, of the record as it is there: true calls it off. */
export type Unless = (record: InstanceRecord) => boolean

export type Parts = Effect.Effect.Success<ReturnType<typeof make>>

/** @param context of the services and nothing else: a whole one would bring the scope of whoever builds this. */
export const make = (context: Context.Context<Services>) =>
  Effect.gen(function* () {
    const records = yield* InstanceRecords
    const journal = yield* Journal
    const logs = yield* LogStore
    const images = yield* ImageStore
    const vault = yield* Vault
    const workspaces = yield* Workspaces
    const lives = new Map<InstanceId, Life.Life>()
    const ports = yield* PortListeners
    const usage = yield* Usage.make(records)
    const endpointUses = EndpointUses.make()
    const idleTunnels = yield* IdleTunnels.make
    const lock = KeyedLock.make<InstanceId>()

    /** Decides and writes in one transaction; a refusal is in terms of the state that was found there. `unless` is asked in it, too. */
    const act = (id: InstanceId, cause: EventCause, action: Action, unless: Unless = () => false) =>
      records
        .update(id, cause, (record) =>
          unless(record) ? new NotNow({ action: action._tag, state: record.state }) : decide(record.state, action)
        )
        .pipe(Effect.tap(() => Effect.sync(() => (action._tag === "Pause" ? idleTunnels.bar(id) : undefined))))

    const lifeOf = (id: InstanceId) => Option.fromNullable(lives.get(id))

    const found = (target: string) =>
      Effect.map(records.get(target), Option.some).pipe(Effect.catchTag("NotFound", () => Effect.succeedNone))

    /** How many of its last ends were of lives too short: the journal knows, also of those before this daemon. */
    const recentShortLives = (id: InstanceId) =>
      Effect.gen(function* () {
        const since = DateTime.subtractDuration(yield* DateTime.now, Duration.seconds(crashLoop.withinSeconds))
        const events = yield* Stream.runCollect(journal.events({ instanceId: id, since }))
        return shortLives([...events])
      })

    const writeEnd = (id: InstanceId, cause: EventCause) => (reason: EndReason, lived: Duration.Duration) =>
      Effect.gen(function* () {
        const shortLife = Duration.toSeconds(lived) < crashLoop.lifeSeconds && reason._tag !== "Stopped"
        const before = shortLife ? yield* recentShortLives(id) : 0
        yield* act(id, cause, Action.End({ reason, shortLife, recentShortLives: before }))
      }).pipe(
        // The VM is gone whatever the journal says; the next daemon finds the record and ends it.
        Effect.catchAll((error) => Effect.logError(`the end of ${id} was not written down: ${error.message}`)),
        Effect.ensuring(Effect.sync(() => lives.delete(id)))
      )

    const live = (options: Life.LifeOptions<Services>) =>
      Effect.tap(Life.begin(options), (life) => Effect.sync(() => lives.set(options.id, life))).pipe(
        Effect.provide(context),
        // From the beginning of a life to its entry in the map nothing yields.
        Effect.uninterruptible
      )

    const shown = (record: InstanceRecord) => instanceOf(record, usage)

    return {
      records,
      journal,
      logs,
      images,
      vault,
      workspaces,
      ports,
      usage,
      endpointUses,
      idleTunnels,
      lives,
      lock,
      act,
      lifeOf,
      found,
      shown,
      writeEnd,
      live
    }
  }).pipe(Effect.provide(context))
