import { Directories, ProcessTable } from "@aegis/host"
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"

/** Who is started with the paths of a run directory: a daemon that died may not have come to writing their numbers down. */
const programs = /(^|\/)(qemu-system-[^/]+|virtiofsd|aegis-net)$/

/**
 * Ends the processes of VMs that nobody will go on with, by what their run directories and their arguments say, and removes the
 * directories. The home's lock is ours: nobody who lives owns them. Those in `kept` stay as they are.
 */
export const clearOrphans = (run: string, kept: ReadonlySet<string>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const names = yield* Effect.promise(() => fs.readdir(run).catch(() => []))
    const orphaned = names.map((name) => `${run}/${name}`).filter((directory) => !kept.has(directory))
    if (orphaned.length === 0) return
    const helpers = (yield* ProcessTable.commandLines).filter(({ argv }) => programs.test(argv[0] ?? ""))
    yield* Effect.forEach(orphaned, (directory) =>
      Effect.gen(function* () {
        const files = yield* Effect.promise(() => fs.readdir(directory).catch(() => []))
        const recorded = files.filter((file) => file.endsWith(".pid"))
        const named = helpers.filter(({ argv }) => argv.some((argument) => argument.includes(`${directory}/`)))
        const ended = yield* Effect.all(
          [
            Effect.filter(recorded, (file) => ProcessTable.endRecorded(`${directory}/${file}`)),
            Effect.filter(named, ProcessTable.end)
          ],
          { concurrency: 1 }
        )
        yield* Effect.ignoreLogged(Directories.removeTree(directory))
        yield* Effect.logInfo(`removed ${directory} of a daemon that died; ended ${ended.flat().length} processes`)
      })
    )
  })
