/**
 * Instances as the router sees them.
 */
import type { Instance, InstanceId } from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { type Destination, Destinations } from "@aegis/router"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

const destinationOf = ({ endpoints, handle, id, state }: Instance): Destination | undefined => {
  const first = endpoints.find(({ protocol }) => protocol === "http")
  return first === undefined ? undefined : { id, name: handle ?? id, state, port: first.guest }
}

export const reachable = Layer.scoped(
  Destinations,
  Effect.gen(function* () {
    const instances = yield* Instances
    // Known without asking: ten thousand records are not read for each request.
    const exposed = new Map<InstanceId, Destination>()
    yield* Stream.runForEach(instances.watch, ({ id, instance }) =>
      Effect.sync(() => {
        const destination = instance === undefined ? undefined : destinationOf(instance)
        if (destination === undefined) exposed.delete(id)
        else exposed.set(id, destination)
      })
    ).pipe(
      Effect.tapErrorCause((cause) => Effect.logError("the router hears of no more changes", cause)),
      Effect.forkScoped
    )
    return Destinations.of({
      find: (target) =>
        Effect.map(
          Effect.option(instances.get(target)),
          Option.map((instance) => destinationOf(instance) ?? ("unexposed" as const))
        ),
      all: Effect.sync(() => [...exposed.values()]),
      connect: instances.connect,
      reuse: instances.reuse,
      count: instances.countUse
    })
  })
)
