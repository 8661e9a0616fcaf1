/**
 * What a process leaves on the disk when it crashes.
 */
import * as Effect from "effect/Effect"
import * as Process from "./Process.ts"

/**
 * From now on no crash of this process, or of a child that is spawned later, writes its memory into a file: it may hold secrets. Node
 * has no setrlimit: util-linux's program sets ours. Where there is none, the limit stays what it was, which is 0 on most machines.
 */
export const forbid: Effect.Effect<void> = Process.spawn({
  command: "prlimit",
  args: ["--core=0:0", "--pid", String(process.pid)],
  stdin: "ignore",
  stdout: "ignore",
  stderr: "ignore"
}).pipe(
  Effect.flatMap(({ exit }) => exit),
  Effect.scoped,
  Effect.catchAll(({ message }) => Effect.logDebug(`the limit of core dumps stays as it was: ${message}`))
)
