/**
 * What is asked of instances without changing them.
 */
import { Instance, InstanceChanged, type InstanceState, type LogQuery, parseImageSource } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { trafficOf } from "./Networks.ts"
import type { Parts } from "./Parts.ts"

export const make = ({ endpointUses, found, images, journal, lifeOf, logs, records, shown }: Parts) => {
  const wait = (target: string) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      const life = lifeOf(id)
      if (Option.isSome(life)) yield* life.value.over
      return shown(yield* records.get(id))
    })

  const watch = Stream.unwrap(
    Effect.gen(function* () {
      const after = yield* journal.lastSeq
      const now = (yield* records.list()).map(
        (record) => new InstanceChanged({ id: record.id, instance: shown(record) })
      )
      const changes = journal.subscribe({ after }).pipe(
        Stream.filterMap(({ instanceId }) => Option.fromNullable(instanceId)),
        Stream.mapEffect((id) =>
          Effect.map(
            found(id),
            (record) => new InstanceChanged({ id, instance: Option.getOrUndefined(Option.map(record, shown)) })
          )
        )
      )
      return Stream.concat(Stream.fromIterable(now), changes)
    })
  )

  const disksInUse = Effect.gen(function* () {
    const used = (yield* records.list()).flatMap(({ image }) => (image === undefined ? [] : [image]))
    const disks = yield* Effect.forEach([...new Set(used)], (image) =>
      parseImageSource(image).pipe(
        Effect.flatMap(images.inspect),
        Effect.map(({ disk }) => [disk]),
        // One that is not here takes nothing.
        Effect.orElseSucceed(() => [])
      )
    )
    return new Set(disks.flat())
  })

  return {
    list: Effect.map(records.list(), (all) => all.map(shown)),
    listIn: (states: ReadonlyArray<InstanceState>) => Effect.map(records.list({ states }), (all) => all.map(shown)),
    count: Effect.map(records.ids, (ids) => ids.size),
    get: (target: string) =>
      Effect.gen(function* () {
        const record = yield* records.get(target)
        const { id, workspace } = record
        const all = workspace === undefined ? [] : yield* records.list({ workspace })
        const others = all.filter((other) => other.id !== id).map((other) => other.handle ?? other.id)
        const life = Option.filter(lifeOf(id), () => record.state !== "starting")
        const traffic = Option.isNone(life) ? undefined : yield* trafficOf(life.value)
        const uses = endpointUses.of(id)
        if (others.length === 0 && traffic === undefined && uses.length === 0) return shown(record)
        return new Instance({
          ...shown(record),
          ...(uses.length === 0 ? {} : { endpointUses: uses }),
          ...(others.length === 0 ? {} : { sharesWorkspaceWith: others }),
          ...(traffic === undefined ? {} : { traffic })
        })
      }),
    wait,
    watch,
    disksInUse,
    logs: (target: string, query: LogQuery) =>
      Stream.unwrap(Effect.map(records.get(target), ({ id }) => logs.read(id, query))).pipe(
        Stream.mapChunks(Chunk.flatMap(Chunk.unsafeFromArray))
      )
  }
}
