/**
 * One daemon per home: the lock, the pid file, and the remains of a daemon that died.
 */
import { AegisPaths, AtomicFile, Directories, Lock, ProcessTable } from "@aegis/host"
import { Workspaces } from "@aegis/workspaces"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs/promises"

/** Takes the home: makes its directories, locks it, removes what a daemon that died has left. Given back when the scope closes. */
export const residence = Layer.scopedDiscard(
  Effect.gen(function* () {
    const paths = yield* AegisPaths
    yield* Effect.forEach([paths.home, paths.data, paths.workspaces, paths.run], Directories.ensurePrivate)
    yield* Lock.acquire(paths.lockFile)
    // A number that a dead daemon left may be somebody else's by now; ours comes when we serve.
    yield* Effect.promise(() => fs.rm(paths.pidFile, { force: true }))
    yield* endOrphans(paths.run)
    yield* Effect.flatMap(Workspaces, (workspaces) => workspaces.sweep)
  })
)

/** Says that the daemon is there, in decimal (contract S-003); the file goes before the socket does. */
export const pidFile = Layer.scopedDiscard(
  Effect.gen(function* () {
    const paths = yield* AegisPaths
    yield* AtomicFile.write(paths.pidFile, Buffer.from(`${process.pid}\n`), 0o600)
    yield* Effect.addFinalizer(() => Effect.promise(() => fs.rm(paths.pidFile, { force: true })))
  })
)

/** Ends the VMs of a daemon that was killed, by what their run directories say. The lock is ours: nobody who lives owns them. */
const endOrphans = (run: string) =>
  Effect.gen(function* () {
    const names = yield* Effect.promise(() => fs.readdir(run).catch(() => []))
    yield* Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const directory = `${run}/${name}`
        const files = yield* Effect.promise(() => fs.readdir(directory).catch(() => []))
        const records = files.filter((file) => file.endsWith(".pid"))
        const ended = yield* Effect.filter(records, (file) => ProcessTable.killRecorded(`${directory}/${file}`))
        yield* Effect.ignoreLogged(Directories.removeTree(directory))
        yield* Effect.logInfo(`removed ${directory} of a daemon that died; ended ${ended.length} processes`)
      })
    )
  })
