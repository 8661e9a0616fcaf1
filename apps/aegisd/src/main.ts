/**
 * aegisd: composes the services and serves until SIGTERM or SIGINT (contract D-24). `aegisd rootfs ensure` makes the base root
 * file system and ends.
 */
import { AegisPaths } from "@aegis/host"
import { realServices } from "@aegis/runtime"
import { BackendChoice } from "@aegis/vm"
import type { Teardown } from "@effect/platform/Runtime"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import { realpathSync } from "node:fs"
import * as path from "node:path"
import { keptSmall } from "./Memory.ts"
import { pidFile, residence } from "./Residence.ts"
import { ensureRootfs } from "./RootfsCommand.ts"
import { server } from "./Server.ts"

/** `dist/`: the launcher stands in it. */
const product = path.dirname(realpathSync(process.argv[1] ?? "."))

const platform = Layer.provideMerge(AegisPaths.layer(product), NodeContext.layer)

/** The probe begins with the daemon, so that the first run does not wait for it. */
const probe = Layer.scopedDiscard(Effect.flatMap(BackendChoice, (choice) => Effect.forkScoped(choice.verdict)))

const daemon = pidFile.pipe(
  Layer.provideMerge(server),
  Layer.merge(probe),
  Layer.merge(keptSmall()),
  Layer.provide(realServices),
  Layer.provide(residence)
)

// Sockets and files are this user's alone from their first moment, whatever umask we were started with (T-278).
process.umask(0o077)

// SIGUSR1 would open Node's inspector on a TCP port to whoever may signal us (T-262).
process.on("SIGUSR1", () => undefined)
// A client that goes away, a pipe that breaks: never the end of the daemon.
process.on("SIGPIPE", () => undefined)
process.on("SIGHUP", () => undefined)

/** What was interrupted has not made the file system: whoever waits for it must not take it for a success. */
const failWhenInterrupted: Teardown = (exit, onExit) =>
  onExit(Exit.isSuccess(exit) ? 0 : Exit.isInterrupted(exit) ? 130 : 1)

const [command, ...rest] = process.argv.slice(2)

if (command === undefined) {
  const served = daemon.pipe(
    Layer.provide(platform),
    Layer.provide(Logger.replace(Logger.defaultLogger, Logger.logfmtLogger.pipe(Logger.withConsoleError)))
  )
  NodeRuntime.runMain(Layer.launch(served), { disablePrettyLogger: true })
} else {
  NodeRuntime.runMain(Effect.provide(ensureRootfs([command, ...rest]), platform), {
    disableErrorReporting: true,
    teardown: failWhenInterrupted
  })
}
