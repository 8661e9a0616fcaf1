import { DiskFull, BootFailed } from "@aegis/domain"
import { AegisPaths, Directories } from "@aegis/host"
import * as Effect from "effect/Effect"

/**
 * A private directory for one VM's sockets, on a path short enough for them; removed with the scope. Its name is the VM's, so
 * a second VM of the same id cannot begin.
 */
export const runDirectory = (id: string) =>
  Effect.acquireRelease(
    Effect.flatMap(AegisPaths, (paths) => Effect.tap(Effect.succeed(paths.runDir(id)), Directories.ensurePrivate)).pipe(
      Effect.mapError((error) =>
        error.message.includes("ENOSPC")
          ? new DiskFull({ path: "~/.aegis/data/run" })
          : new BootFailed({
              stage: "vmm",
              reason: error.message,
              consoleTail: "",
              remedy: "check the directory's owner and mode"
            })
      )
    ),
    (directory) => Effect.ignoreLogged(Directories.removeTree(directory))
  )
