/**
 * What libkrun needs to boot our guest: a hypervisor's device, the two libraries, the VMM's program and the harness.
 */
import { BackendUnavailable } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { harnessProgram, kvmDevice, productPart } from "@aegis/vm"
import { libraryOverrides, locateLibraries } from "@aegis/native-bridge/Libraries"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"

export interface LibkrunParts {
  readonly libkrun: string
  readonly libkrunfw: string
  readonly vmm: string
  /** util-linux's setpriv, where it is installed: it holds all of root's threads to what a VM needs. */
  readonly setpriv: string | undefined
  readonly harness: string
  readonly net: string
  /** A directory with nothing but mount points: the guest's first root. */
  readonly root: string
}

/** Finds all of them or names the first that is missing, with the way to get it. */
export const findParts: Effect.Effect<LibkrunParts, BackendUnavailable, AegisPaths> = Effect.gen(function* () {
  const { product } = yield* AegisPaths
  if (process.platform === "linux") yield* kvmDevice("libkrun")
  const overrides = yield* Effect.orDie(libraryOverrides)
  const { libkrun, libkrunfw } = yield* locateLibraries({ overrides, productDir: product }).pipe(
    Effect.mapError(({ message, remedy }) => new BackendUnavailable({ backend: "libkrun", reason: message, remedy }))
  )
  const [vmm, harness, root, net] = yield* Effect.all([
    productPart("libkrun", `${product}/aegis-vmm`),
    harnessProgram("libkrun", `${product}/guest/aegis-harness`),
    productPart("libkrun", `${product}/guest/root`),
    productPart("libkrun", `${product}/aegis-net`)
  ])
  const setpriv = existsSync("/usr/bin/setpriv") ? "/usr/bin/setpriv" : undefined
  return { libkrun: libkrun.path, libkrunfw: libkrunfw.path, vmm, harness, net, root, setpriv }
})
