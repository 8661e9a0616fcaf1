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

/** Starts the daemon where none runs, and makes the base root file system first where there is none; says what it found. */
export const bringUp = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { product } = yield* Caller
  if ((yield* settledState)._tag === "Running") return Option.none()
  const program = `${product}/aegisd`
  if (!(yield* Effect.orElseSucceed(fs.exists(program), () => false))) {
    return yield* new DaemonBinaryMissing({ path: program })
  }
  if (Option.isNone(yield* activeRootfs)) yield* ensureRootfs(program)
  const outcome = yield* startDaemon(program)
  return outcome._tag === "Started" ? Option.some(outcome.pid) : Option.none()
})

const handler = Effect.gen(function* () {
  const stdio = yield* Stdio
  const started = yield* bringUp
  yield* stdio.print(
    Option.match(started, {
      onNone: () => "aegisd is already running\n",
      onSome: (pid) => `aegisd started (pid ${pid})\n`
    })
  )
})

export const up = Command.make("up", {}, () => untilSignal(handler))
