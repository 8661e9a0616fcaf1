/**
 * The services that make up AegisVM, put together once: for the daemon, and for programs that embed them.
 */
import { AegisPaths, Directories, Lock } from "@aegis/host"
import { images } from "@aegis/images"
import { Instances } from "@aegis/instances"
import { journalAt } from "@aegis/journal"
import { LogStore } from "@aegis/logs"
import { PortListeners, Router } from "@aegis/router"
import { Vault } from "@aegis/vault"
import { BackendChoice, VerdictCache } from "@aegis/vm"
import * as Libkrun from "@aegis/vm-libkrun"
import * as Qemu from "@aegis/vm-qemu"
import { Workspaces } from "@aegis/workspaces"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { History } from "./History.ts"
import { NamedWorkspaces } from "./NamedWorkspaces.ts"
import { reachable } from "./Reachable.ts"
import { Secrets } from "./Secrets.ts"

/** Makes the home's directories, private to this user, and locks the home until the scope closes: one runtime per home. */
export const takeHome = Effect.gen(function* () {
  const paths = yield* AegisPaths
  yield* Effect.forEach([paths.home, paths.data, paths.workspaces, paths.run], Directories.ensurePrivate)
  yield* Lock.acquire(paths.lockFile)
})

/** Best first: a hypervisor under libkrun, under QEMU, and emulation, which works everywhere. */
export const realBackends = Layer.unwrapScoped(
  Effect.map(Effect.all([Libkrun.make, Qemu.make("kvm"), Qemu.make("tcg")]), BackendChoice.layer)
).pipe(Layer.provide(VerdictCache.layer))

const journal = Layer.unwrapEffect(Effect.map(AegisPaths, ({ journal }) => journalAt({ file: journal })))

/** What needs no backend. */
const stores = Layer.mergeAll(Workspaces.layer, LogStore.configured, PortListeners.layer, Vault.layer, journal)

/** All that runs instances, over a choice of backends, a base root file system and the images of this home. */
export const services = Router.layer.pipe(
  Layer.provide(reachable),
  Layer.provideMerge(NamedWorkspaces.layer),
  Layer.provideMerge(Layer.mergeAll(Instances.layer, History.layer, Secrets.layer)),
  Layer.provideMerge(stores)
)

/** The same on this machine's hypervisors. */
export const realServices = Layer.provideMerge(services, Layer.merge(realBackends, images))
