/**
 * Ports that are exposed, and are not any more, while an instance is there, in whatever state.
 */
import {
  AlreadyExposed,
  type EventCause,
  type Exposure,
  InvalidArgument,
  maxExposures,
  NotExposed,
  PortExposed,
  PortUnexposed
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import type { Parts } from "./Parts.ts"
import type * as Reaching from "./Reaching.ts"

export const make = (
  { lock, ports, records, shown }: Parts,
  { cutOff }: Pick<ReturnType<typeof Reaching.make>, "cutOff">
) => ({
  /** Listened for first: what is written down is a port that there is. */
  expose: (target: string, exposure: Exposure, cause: EventCause) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      return yield* lock(id)(
        Effect.gen(function* () {
          const record = yield* records.get(id)
          const name = record.handle ?? id
          const bound = record.ports.find(({ guest }) => guest === exposure.port)
          if (bound !== undefined) {
            const same = bound.protocol === exposure.protocol && (exposure.hostPort ?? bound.host) === bound.host
            return same ? shown(record) : yield* new AlreadyExposed({ ...bound, target: name, port: bound.guest })
          }
          if (record.ports.length >= maxExposures) {
            return yield* new InvalidArgument({
              argument: `port ${exposure.port}`,
              reason: `instance "${name}" has ${maxExposures} exposed ports, and at most ${maxExposures} can be exposed`,
              remedy: `aegis unexpose ${name} PORT gives one up`
            })
          }
          const { host } = yield* ports.add(id, exposure)
          return yield* records.update(id, cause, [new PortExposed({ exposure, host })]).pipe(
            Effect.map(shown),
            Effect.onError(() => ports.remove(id, exposure.port))
          )
        })
      )
    }).pipe(Effect.uninterruptible, Effect.withSpan("Instances.expose")),

  /** Written down first: a daemon that dies in between does not listen for it when it comes back. */
  unexpose: (target: string, port: number, cause: EventCause) =>
    Effect.gen(function* () {
      const { id } = yield* records.get(target)
      return yield* lock(id)(
        Effect.gen(function* () {
          const record = yield* records.update(id, cause, ({ handle, spec }) =>
            spec.exposes.some((exposure) => exposure.port === port)
              ? Effect.succeed([new PortUnexposed({ port })])
              : new NotExposed({ target: handle ?? id, port })
          )
          yield* ports.remove(id, port)
          yield* cutOff(id, port)
          return shown(record)
        })
      )
    }).pipe(Effect.uninterruptible, Effect.withSpan("Instances.unexpose"))
})
