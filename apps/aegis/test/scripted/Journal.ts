/**
 * A journal in memory, for the scripted daemon: nothing of it is checked but what clients see.
 */
import { ByCli, type EventData, type InstanceId, JournalEvent } from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"

const all: Array<JournalEvent> = []
const written = Effect.runSync(PubSub.unbounded<JournalEvent>())

const hash = (seq: number) => seq.toString(16).padStart(64, "0")

/** Writes an event that `aegis COMMAND` asked for. */
export const record = (command: string, data: EventData, instanceId?: InstanceId): Effect.Effect<void> =>
  Effect.gen(function* () {
    const seq = all.length + 1
    const event = new JournalEvent({
      ...{ seq, at: yield* DateTime.now, cause: new ByCli({ command }), data, instanceId },
      ...{ previousHash: hash(seq - 1), hash: hash(seq) }
    })
    all.push(event)
    yield* PubSub.publish(written, event)
  })

export const eventsOf = (query: {
  readonly instanceId: InstanceId | undefined
  readonly since?: DateTime.Utc | undefined
  readonly follow: boolean
}): Stream.Stream<JournalEvent> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const coming = yield* PubSub.subscribe(written)
      const stream = Stream.concat(
        Stream.fromIterable([...all]),
        query.follow ? Stream.fromQueue(coming) : Stream.empty
      )
      return Stream.filter(
        stream,
        (event) =>
          (query.instanceId === undefined || event.instanceId === query.instanceId) &&
          (query.since === undefined || DateTime.greaterThanOrEqualTo(event.at, query.since))
      )
    })
  )
