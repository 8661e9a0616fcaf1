/**
 * What the journal tells of one instance, also of one that is no more.
 */
import {
  InstanceId,
  type JournalEvent,
  type NetworkPolicy,
  type NetworkReplay,
  NotFound,
  type StoreError,
  withoutEnvironmentValues
} from "@aegis/domain"
import { InstanceRecords, Journal, why } from "@aegis/journal"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { replay } from "./FlowReplay.ts"

export interface HistoryQuery {
  readonly target?: string | undefined
  readonly after?: number | undefined
  readonly since?: DateTime.Utc | undefined
  readonly follow: boolean
}

export class History extends Context.Tag("@aegis/runtime/History")<
  History,
  {
    /** Oldest first, without the values of environments; with `follow` then what comes, without end. */
    readonly events: (query: HistoryQuery) => Stream.Stream<JournalEvent, NotFound | StoreError>
    /** The chain of causes behind an instance's present state, in sentences. */
    readonly why: (target: string) => Effect.Effect<ReadonlyArray<string>, NotFound | StoreError>
    /** What a policy, or its own where none is given, would have made of the flows that its network has told of. */
    readonly replay: (
      target: string,
      candidate: NetworkPolicy | undefined
    ) => Effect.Effect<NetworkReplay, NotFound | StoreError>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const journal = yield* Journal
      const records = yield* InstanceRecords

      /** The last instance that had this handle, where none has it now. */
      const formerOf = (handle: string) =>
        Stream.runFold(journal.events(), Option.none<InstanceId>(), (last, { data, instanceId }) =>
          data._tag === "InstanceCreated" && data.spec.handle === handle ? Option.fromNullable(instanceId) : last
        )

      const idOf = (target: string) =>
        Effect.map(records.get(target), ({ id }) => id).pipe(
          Effect.catchTag("NotFound", (error) => {
            const id = Schema.decodeOption(InstanceId)(target)
            return Effect.flatMap(Option.isSome(id) ? Effect.succeed(id) : formerOf(target.toLowerCase()), (found) =>
              Option.match(found, { onNone: () => Effect.fail(error), onSome: Effect.succeed })
            )
          })
        )

      return History.of({
        events: ({ after, follow, since, target }) =>
          Stream.unwrap(
            Effect.map(target === undefined ? Effect.succeed(undefined) : idOf(target), (instanceId) =>
              (follow ? journal.subscribe : journal.events)({ instanceId, after, since })
            )
          ).pipe(Stream.map(withoutEnvironmentValues)),
        why: (target) =>
          Effect.gen(function* () {
            const instanceId = yield* idOf(target)
            const sentences = why([...(yield* Stream.runCollect(journal.events({ instanceId })))])
            if (sentences.length === 0) return yield* new NotFound({ target })
            return sentences
          }),
        replay: (target, candidate) =>
          Effect.flatMap(idOf(target), (instanceId) => replay(journal.events({ instanceId }), candidate))
      })
    })
  )
}
