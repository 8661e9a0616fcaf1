/**
 * What stands in for machines in the tests of programs that embed AegisVM: no hypervisor, no root file system, Effect's clock.
 */
import { RootfsRecord } from "@aegis/domain"
import { BaseRootfs, imageStore } from "@aegis/images"
import { BackendChoice, simulatedBackend, type SimulatedOptions, VerdictCache } from "@aegis/vm"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const record = new RootfsRecord({
  variant: "debian-python",
  source: "simulated",
  digest: "sha256:0",
  bytes: 0,
  createdAt: DateTime.unsafeMake(0)
})

const rootfs = Layer.succeed(BaseRootfs, {
  current: Effect.succeed({ path: "/simulated.ext4", record }),
  ensure: () => Effect.dieMessage("a simulated guest has no root file system"),
  pull: () => Effect.dieMessage("a simulated guest has no root file system")
})

/** Guests that run `programs`, which are functions of their argv. */
export const simulatedMachines = (options: SimulatedOptions) =>
  Layer.mergeAll(
    rootfs,
    imageStore,
    Layer.provide(BackendChoice.layer([simulatedBackend(options)]), VerdictCache.layerNone)
  )
