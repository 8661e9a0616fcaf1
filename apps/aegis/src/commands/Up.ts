/**
 * `aegis up`: S-029 to S-039.
 */
import * as Command from "@effect/cli/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { activeRootfs, ensureRootfs } from "../BaseRootfs.ts"
import { Caller } from "../Caller.ts"
import { settledState, startDaemon } from "../DaemonProcess.ts"
import { DaemonBinaryMissing } from "../Errors.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const handler = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const stdio = yield* Stdio
  const { product } = yield* Caller
  if ((yield* settledState)._tag === "Running") return yield* stdio.print("aegisd is already running\n")
  const program = `${product}/aegisd`
  if (!(yield* Effect.orElseSucceed(fs.exists(program), () => false))) {
    return yield* new DaemonBinaryMissing({ path: program })
  }
  if (Option.isNone(yield* activeRootfs)) yield* ensureRootfs(program)
  const outcome = yield* startDaemon(program)
  yield* stdio.print(
    outcome._tag === "Started" ? `aegisd started (pid ${outcome.pid})\n` : "aegisd is already running\n"
  )
})

export const up = Command.make("up", {}, () => untilSignal(handler))
