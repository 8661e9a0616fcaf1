/**
 * AegisVM inside an Effect application: the whole runtime as one layer, without a daemon, in a home of its own.
 */
import { InvalidArgument } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { BaseRootfs, images, type ImageStore } from "@aegis/images"
import type { BackendChoice, SimulatedOptions } from "@aegis/vm"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Context from "effect/Context"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Layer from "effect/Layer"
import { existsSync } from "node:fs"
import * as path from "node:path"
import { realBackends, services, takeHome } from "./Composition.ts"
import { inProcess } from "./InProcess.ts"
import { simulatedMachines } from "./Simulated.ts"

export interface HomeOptions {
  /**
   * An absolute path. It is made where it is not there, private to this user, and locked: a daemon or another runtime cannot use it at the
   * same time.
   */
  readonly home: string
  /** Variables as the daemon's environment would have them, such as `AEGIS_BACKEND`; they come before those of this process. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

export interface RuntimeOptions extends HomeOptions {
  /** The folder with `aegisd` and what lies beside it: `dist/` of a build. */
  readonly product: string
}

/**
 * The runtime on this machine's hypervisors. What it starts ends with the layer's scope: instances are stopped, and their records stay in
 * the home. In a new home the layer first makes the guests' root file system, which takes a minute or more. The HTTP router takes a free port unless
 * `settings` names `AEGIS_ROUTER_PORT`. Nothing of the process is changed: neither its umask, its signals nor its limits.
 */
export const layer = ({ home, product, settings }: RuntimeOptions) =>
  existsSync(path.join(product, "guest"))
    ? layerOver({ home, settings, product }, Layer.merge(realBackends, withRootfs))
    : Layer.fail(
        new InvalidArgument({
          argument: "product",
          reason: `${product} holds no build of AegisVM`,
          remedy: "give the path of its dist folder; node apps/setup/main.mjs build makes it"
        })
      )

export interface SimulatedRuntimeOptions extends HomeOptions, SimulatedOptions {}

/** The same runtime whose guests are simulated, for tests: `programs` are functions, time is Effect's clock, nothing is booted. */
export const layerSimulated = ({ home, settings, ...options }: SimulatedRuntimeOptions) =>
  layerOver({ home, settings, product: "/nonexistent" }, simulatedMachines(options))

const withRootfs = Layer.tap(images, (context) => Context.get(context, BaseRootfs).ensure(() => undefined))

/** The same runtime over other machines: any backend, any base root file system, any images. */
export const layerOver = <E>(
  { home, product, settings = {} }: RuntimeOptions,
  machines: Layer.Layer<BackendChoice | BaseRootfs | ImageStore, E, AegisPaths | NodeContext.NodeContext>
) => {
  const given = ConfigProvider.fromMap(new Map(Object.entries({ ...defaults, ...settings, AEGIS_HOME: home })))
  const provider = ConfigProvider.orElse(given, () => ConfigProvider.fromEnv())
  return inProcess.pipe(
    Layer.provide(Layer.provideMerge(services, machines)),
    Layer.provide(Layer.scopedDiscard(takeHome)),
    Layer.provide(Layer.provideMerge(AegisPaths.layer(product), NodeContext.layer)),
    Layer.provide(Layer.setConfigProvider(provider))
  )
}

/** A program that embeds us shall not take the daemon's port. */
const defaults = { AEGIS_ROUTER_PORT: "0" }
