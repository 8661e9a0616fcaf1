/**
 * What QEMU needs to boot our guest: the program, the kernel, the harness's disk, virtiofsd, aegis-net, and for an accelerator its device.
 */
import { type Accelerator, BackendUnavailable } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import { harnessDisk as checkedDisk, kvmDevice, productPart } from "@aegis/vm"
import { kernelFor } from "./Kernel.ts"

export interface QemuParts {
  readonly qemu: string
  /** Changes with the program. */
  readonly qemuStamp: string
  readonly kernel: string
  readonly harnessDisk: string
  readonly virtiofsd: string
  readonly net: string
}

/** Where system programs live; a hostile PATH is not searched (T-281). */
const programDirectories = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]

const architecture = process.arch === "arm64" ? "aarch64" : "x86_64"

/** Finds all of them or names the first that is missing, with the way to get it. */
export const findParts = (accelerator: Accelerator): Effect.Effect<QemuParts, BackendUnavailable, AegisPaths> =>
  Effect.gen(function* () {
    const { product } = yield* AegisPaths
    const name = `qemu-system-${architecture}`
    const qemu = yield* firstOf(programDirectories.map((directory) => `${directory}/${name}`)).pipe(
      Effect.mapError(() =>
        missing(`${name} is not installed`, `apt-get install qemu-system-x86 (or your system's package of ${name})`)
      )
    )
    if (accelerator === "kvm") yield* kvmDevice("qemu")
    const [harnessDisk, virtiofsd, net] = yield* Effect.all([
      checkedDisk("qemu", `${product}/guest/harness.ext4`),
      productPart("qemu", `${product}/virtiofsd`),
      productPart("qemu", `${product}/aegis-net`)
    ])
    const kernel = yield* kernelFor(product)
    return { qemu: qemu.path, qemuStamp: qemu.stamp, kernel, harnessDisk, virtiofsd, net }
  })

const missing = (reason: string, remedy: string) => new BackendUnavailable({ backend: "qemu", reason, remedy })

const firstOf = (paths: ReadonlyArray<string>) =>
  Effect.firstSuccessOf(
    paths.map((path) =>
      Effect.map(
        Effect.tryPromise(() => fs.stat(path)),
        ({ mtimeMs, size }) => ({ path, stamp: `${size}-${mtimeMs}` })
      )
    )
  )
