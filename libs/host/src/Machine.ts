/**
 * What the machine is and can give.
 */
import * as Effect from "effect/Effect"
import { randomFill } from "node:crypto"
import { readFile } from "node:fs/promises"
import * as os from "node:os"

/** All of the host's memory in MiB and its processors: the most that one guest may ask for (contract D-19). */
export const limits: Effect.Effect<{ readonly memoryMib: number; readonly cpus: number }> = Effect.sync(() => ({
  memoryMib: Math.floor(os.totalmem() / 1024 / 1024),
  cpus: os.availableParallelism()
}))

/** Changes with each boot of the machine; empty where the system does not say (it is Linux's). */
export const bootId: Effect.Effect<string> = Effect.promise(() =>
  readFile("/proc/sys/kernel/random/boot_id", "utf8").then(
    (text) => text.trim(),
    () => ""
  )
)

/** Bytes from the system's random generator. */
export const randomBytes = (count: number): Effect.Effect<Uint8Array> =>
  Effect.async((resume) => {
    randomFill(new Uint8Array(count), (error, bytes) =>
      resume(error === null ? Effect.succeed(bytes) : Effect.die(error))
    )
  })
