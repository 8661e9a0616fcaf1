/**
 * What QEMU needs to boot our guest: the program, the kernel, the harness's disk, virtiofsd, and for an accelerator its device.
 */
import { type Accelerator, BackendUnavailable } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import { kernelFor } from "./Kernel.ts"

export interface QemuParts {
  readonly qemu: string
  /** Changes with the program. */
  readonly qemuStamp: string
  readonly kernel: string
  readonly harnessDisk: string
  readonly virtiofsd: string
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
    if (accelerator === "kvm") {
      yield* Effect.tryPromise({
        try: () => fs.access("/dev/kvm", fs.constants.R_OK | fs.constants.W_OK),
        catch: (cause) =>
          String(cause).includes("ENOENT")
            ? missing(
                "/dev/kvm is not there",
                "turn virtualization on in the firmware, or nested virtualization in the host"
              )
            : missing(
                "/dev/kvm may not be opened",
                "add yourself to the group kvm: usermod -aG kvm $USER, then log in again"
              )
      })
    }
    const [harnessDisk, virtiofsd] = yield* Effect.all([
      part(`${product}/guest/harness.ext4`),
      part(`${product}/virtiofsd`)
    ])
    const kernel = yield* kernelFor(product)
    return { qemu: qemu.path, qemuStamp: qemu.stamp, kernel, harnessDisk: harnessDisk.path, virtiofsd: virtiofsd.path }
  })

const missing = (reason: string, remedy: string) => new BackendUnavailable({ backend: "qemu", reason, remedy })

const part = (path: string) =>
  Effect.mapError(firstOf([path]), () => missing(`${path} is missing`, "build or install aegis anew: npm run build"))

const firstOf = (paths: ReadonlyArray<string>) =>
  Effect.firstSuccessOf(
    paths.map((path) =>
      Effect.map(
        Effect.tryPromise(() => fs.stat(path)),
        ({ mtimeMs, size }) => ({ path, stamp: `${size}-${mtimeMs}` })
      )
    )
  )
