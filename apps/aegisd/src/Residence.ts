/**
 * One daemon per home: the lock and the pid file.
 */
import { AegisPaths, AtomicFile, CoreDumps } from "@aegis/host"
import { takeHome } from "@aegis/runtime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs/promises"

/**
 * Takes the home: makes its directories, locks it, and says in decimal who has it (contract S-003). Given back when the scope closes. We may
 * serve only some time later: there may be guests to go on with.
 */
export const residence = Layer.scopedDiscard(
  Effect.gen(function* () {
    const paths = yield* AegisPaths
    yield* takeHome
    yield* CoreDumps.forbid
    yield* Effect.addFinalizer(() => removePidFile)
    yield* AtomicFile.write(paths.pidFile, Buffer.from(`${process.pid}\n`), 0o600)
  })
)

/** Takes the pid file away before the socket goes. */
export const pidFile = Layer.scopedDiscard(Effect.addFinalizer(() => removePidFile))

const removePidFile = Effect.flatMap(AegisPaths, (paths) => Effect.promise(() => fs.rm(paths.pidFile, { force: true })))
