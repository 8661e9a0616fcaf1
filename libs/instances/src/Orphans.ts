import { Directories, ProcessTable } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"

/**
 * Ends the processes of VMs that nobody will go on with, by what their run directories say, and removes the directories. The home's
 * lock is ours: nobody who lives owns them. Those in `kept` stay as they are.
 */
export const clearOrphans = (run: string, kept: ReadonlySet<string>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const names = yield* Effect.promise(() => fs.readdir(run).catch(() => []))
    const orphaned = names.map((name) => `${run}/${name}`).filter((directory) => !kept.has(directory))
    yield* Effect.forEach(orphaned, (directory) =>
      Effect.gen(function* () {
        const files = yield* Effect.promise(() => fs.readdir(directory).catch(() => []))
        const recorded = files.filter((file) => file.endsWith(".pid"))
        const ended = yield* Effect.filter(recorded, (file) => ProcessTable.killRecorded(`${directory}/${file}`))
        yield* Effect.ignoreLogged(Directories.removeTree(directory))
        yield* Effect.logInfo(`removed ${directory} of a daemon that died; ended ${ended.length} processes`)
      })
    )
  })
