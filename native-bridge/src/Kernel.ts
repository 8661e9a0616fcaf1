/**
 * Takes the kernel out of libkrunfw and puts it into a file for QEMU.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { dirname } from "node:path"
import { FileUnusable, type KernelUnusable, type LibraryUnusable } from "./Failures.ts"
import type { Libkrunfw } from "./Foreign.ts"
import { kernelVersion, qemuKernel } from "./KernelImage.ts"

/** A kernel file that is complete and on disk. */
export interface KernelFile {
  readonly path: string
  /** As `uname -r` has it in the guest. */
  readonly version: string
}

/**
 * Writes the kernel to `path`, replacing what is there: under a temporary name first, synced, then renamed, so that nobody
 * ever boots half a kernel. On failure no file is left behind.
 */
export const writeKernel = (
  libkrunfw: Libkrunfw,
  path: string
): Effect.Effect<KernelFile, FileUnusable | KernelUnusable | LibraryUnusable> =>
  Effect.gen(function* () {
    const kernel = yield* libkrunfw.kernel
    const version = yield* kernelVersion(kernel.bytes)
    const parts = yield* qemuKernel(kernel, process.arch === "arm64" ? "arm64" : "x64")
    yield* replaceFile(path, parts)
    return { path, version }
  })

const replaceFile = (path: string, parts: ReadonlyArray<Uint8Array>): Effect.Effect<void, FileUnusable> => {
  const temporary = `${path}.tmp-${process.pid}`
  return Effect.try({
    try: () => {
      fs.rmSync(temporary, { force: true })
      writeSynced(temporary, parts)
      fs.renameSync(temporary, path)
      const directory = fs.openSync(dirname(path), fs.constants.O_RDONLY)
      fs.fsyncSync(directory)
      fs.closeSync(directory)
    },
    catch: (cause) =>
      new FileUnusable({
        path,
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: "check that its directory exists, is yours, and has room for 25 MB"
      })
  }).pipe(Effect.onError(() => Effect.sync(() => fs.rmSync(temporary, { force: true }))))
}

const writeSynced = (path: string, parts: ReadonlyArray<Uint8Array>): void => {
  // `wx`: a link that someone laid at this name is not followed.
  const fd = fs.openSync(path, "wx", 0o644)
  try {
    for (const part of parts) {
      for (let written = 0; written < part.length;) written += fs.writeSync(fd, part, written)
    }
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
