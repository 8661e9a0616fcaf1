/** The runtime over the simulated backend, in a home and with a journal that the caller chooses. */
import { RootfsRecord, type StoreOpenError } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { BaseRootfs, imageStore } from "@aegis/images"
import type { InstanceRecords, Journal } from "@aegis/journal"
import { LogStore } from "@aegis/logs"
import { PortListeners } from "@aegis/router"
import { Vault } from "@aegis/vault"
import { BackendChoice, simulatedBackend, type SimulatedOptions, VerdictCache } from "@aegis/vm"
import { Workspaces } from "@aegis/workspaces"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Instances } from "../src/index.ts"
import { programs } from "./scripts.ts"

const rootfs = Layer.succeed(BaseRootfs, {
  current: Effect.succeed({
    path: "/simulated.ext4",
    record: new RootfsRecord({
      variant: "debian-python",
      source: "simulated",
      digest: "sha256:0",
      bytes: 0,
      createdAt: DateTime.unsafeMake(0)
    })
  }),
  ensure: () => Effect.die("not in this test"),
  pull: () => Effect.die("not in this test")
})

export interface RuntimeOptions extends Partial<SimulatedOptions> {
  readonly home: string
  readonly journal: Layer.Layer<Journal | InstanceRecords, StoreOpenError>
  /** More of the daemon's environment. */
  readonly env?: Readonly<Record<string, string>>
}

export const runtimeAt = ({ env = {}, home, journal, ...options }: RuntimeOptions) =>
  Instances.layer.pipe(
    Layer.provide(
      Layer.mergeAll(
        rootfs,
        LogStore.layer(),
        PortListeners.layer,
        imageStore,
        BackendChoice.layer([simulatedBackend({ programs, ...options })]).pipe(Layer.provide(VerdictCache.layerNone))
      )
    ),
    Layer.provideMerge(Layer.mergeAll(journal, Vault.layer, Workspaces.layer)),
    Layer.provide(AegisPaths.layer("/nowhere")),
    Layer.provide(
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries({ ...env, AEGIS_HOME: home }))))
    )
  )
