import { type InstanceSpec, ResourcesRefused } from "@aegis/domain"
import { Machine } from "@aegis/host"
import * as Effect from "effect/Effect"

/** As many guests may boot at once as the host has processors, twice: more would only make each of them late (T-235). */
export const bootSlots = Effect.flatMap(Machine.limits, ({ cpus }) => Effect.makeSemaphore(cpus * 2))

/** Refuses what this host cannot give, before anything is made (contract D-19). */
export const checkResources = (spec: InstanceSpec): Effect.Effect<void, ResourcesRefused> =>
  Effect.gen(function* () {
    const { cpus, memoryMib } = yield* Machine.limits
    if (spec.memoryMib > memoryMib) {
      return yield* new ResourcesRefused({ resource: "memory", asked: spec.memoryMib, available: memoryMib })
    }
    const vcpus = Math.min(cpus, 8)
    if (spec.vcpus > vcpus)
      return yield* new ResourcesRefused({ resource: "cpus", asked: spec.vcpus, available: vcpus })
  })
