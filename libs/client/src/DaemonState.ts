/**
 * Whether a daemon runs for this home: its process id file names one, and its socket accepts.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as net from "node:net"
import { AegisHome } from "./Home.ts"

export type DaemonState =
  | { readonly _tag: "Running"; readonly pid: number }
  /** `pidFile`: what stood in the file of a daemon that is not there, if anything. */
  | { readonly _tag: "Absent"; readonly pidFile: Option.Option<string> }

/** Looks once; a stale file or socket counts as absent (S-035). */
export const daemonState: Effect.Effect<DaemonState, never, AegisHome | FileSystem.FileSystem> = Effect.gen(
  function* () {
    const fs = yield* FileSystem.FileSystem
    const { pidFile, socket } = yield* AegisHome
    const text = yield* Effect.option(fs.readFileString(pidFile))
    const pid = Option.filter(
      Option.map(text, (content) => Number(content.trim())),
      (number) => Number.isInteger(number) && number > 1
    )
    if (Option.isSome(pid) && isAlive(pid.value) && (yield* accepts(socket))) return { _tag: "Running", pid: pid.value }
    return { _tag: "Absent", pidFile: text }
  }
)

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Whether somebody listens on the Unix socket. */
const accepts = (path: string) =>
  Effect.async<boolean>((resume) => {
    const socket = net.connect(path)
    const answer = (listening: boolean) => {
      socket.destroy()
      resume(Effect.succeed(listening))
    }
    socket.once("connect", () => answer(true))
    socket.once("error", () => answer(false))
    return Effect.sync(() => socket.destroy())
  })
