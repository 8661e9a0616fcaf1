/**
 * The kernel that QEMU boots: libkrunfw's own, taken out of the library once and kept.
 */
import { BackendUnavailable } from "@aegis/domain"
import { AegisPaths, Directories, Process } from "@aegis/host"
import { type LibraryLocation, libraryOverrides, locateLibraries } from "@aegis/native-bridge/Libraries"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"

/**
 * The path of the kernel for this libkrunfw, made by `aegis-vmm` when it is not there yet: a foreign library is never loaded
 * into the daemon. A library that changes (path, size, time) gives a new kernel.
 */
export const kernelFor = (product: string): Effect.Effect<string, BackendUnavailable, AegisPaths> =>
  Effect.gen(function* () {
    const { kernels } = yield* AegisPaths
    const overrides = yield* Effect.orDie(libraryOverrides)
    const { libkrunfw } = yield* locateLibraries({ overrides, productDir: product })
    const out = `${kernels}/${yield* stampOf(libkrunfw)}.elf`
    const known = yield* Effect.isSuccess(Effect.tryPromise(() => fs.access(out)))
    if (!known) {
      yield* Directories.ensurePrivate(kernels)
      yield* extract(product, libkrunfw.path, out)
    }
    return out
  }).pipe(
    Effect.mapError(
      ({ message, remedy }) =>
        new BackendUnavailable({ backend: "qemu", reason: `no guest kernel: ${message}`, remedy })
    ),
    Effect.withSpan("Kernel.find")
  )

const stampOf = ({ path }: LibraryLocation) =>
  Effect.tryPromise(() => fs.stat(path)).pipe(
    Effect.map(({ mtimeMs, size }) => `${path}:${size}:${mtimeMs}`),
    // The loader finds it somewhere; one kernel per name is all that can be told apart.
    Effect.orElseSucceed(() => path),
    Effect.map((text) => createHash("sha256").update(text).digest("hex").slice(0, 16))
  )

const extract = (product: string, libkrunfw: string, out: string) =>
  Effect.gen(function* () {
    const vmm = yield* Process.spawn({
      command: process.execPath,
      args: [`${product}/aegis-vmm`],
      stdin: "pipe",
      stdout: "ignore",
      stderr: "tail"
    })
    Option.map(vmm.stdin, (stdin) => stdin.end(`${JSON.stringify({ op: "kernel", libkrunfw, out })}\n`))
    const { code } = yield* vmm.exit
    if (code !== 0) {
      const words = (yield* vmm.stderrTail).trim()
      return yield* Effect.fail({
        message: words,
        remedy: "set AEGIS_LIBKRUNFW to a libkrunfw.so.5, or build aegis anew: npm run build"
      })
    }
  }).pipe(Effect.scoped)
