/**
 * `aegis down`: S-040 to S-045.
 */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import { stopDaemon, stoppable } from "../DaemonProcess.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const handler = Effect.gen(function* () {
  const stdio = yield* Stdio
  const target = yield* stoppable
  if (target._tag === "Nothing") {
    return yield* stdio.print(`aegisd is not running${target.invalidFile ? " (invalid pid file)" : ""}\n`)
  }
  yield* stdio.print(`aegisd stopping (pid ${target.pid})\n`)
  yield* stopDaemon(target.pid)
  yield* stdio.print("aegisd stopped\n")
})

export const down = Command.make("down", {}, () => untilSignal(handler))
