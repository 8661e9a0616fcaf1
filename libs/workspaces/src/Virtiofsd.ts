/**
 * virtiofsd: the vhost-user server that shares one directory with one guest, in a process of its own, confined by itself.
 */
import { Process, ProcessTable } from "@aegis/host"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs/promises"

export class VirtiofsdFailed extends Data.TaggedError("VirtiofsdFailed")<{ readonly message: string }> {
  get remedy() {
    return "a plain user's virtiofsd needs user namespaces (sysctl kernel.unprivileged_userns_clone=1); aegis doctor checks it"
  }
}

export interface VirtiofsdOptions {
  readonly program: string
  readonly path: string
  readonly readOnly: boolean
  readonly socketPath: string
}

/**
 * Serves until the scope closes. Succeeds when the socket listens. In a mount and user namespace of its own (`--sandbox
 * namespace`) it sees nothing but the shared directory; a plain user's files belong to that user on the host and to root in the
 * guest.
 */
export const serve = (options: VirtiofsdOptions) =>
  Effect.gen(function* () {
    const process = yield* Process.spawn({
      command: options.program,
      args: [
        `--socket-path=${options.socketPath}`,
        `--shared-dir=${options.path}`,
        "--sandbox=namespace",
        "--seccomp=kill",
        "--cache=auto",
        "--log-level=error",
        "--inode-file-handles=never",
        ...(options.readOnly ? ["--readonly"] : [])
      ],
      detached: true,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "tail"
    }).pipe(Effect.mapError((error) => new VirtiofsdFailed({ message: error.message })))
    yield* ProcessTable.record(`${options.socketPath}.pid`, process.pid)
    const died = Effect.flatMap(process.exit, () =>
      Effect.flatMap(process.stderrTail, (text) => new VirtiofsdFailed({ message: `virtiofsd ended: ${text.trim()}` }))
    )
    yield* Effect.raceFirst(appears(options.socketPath), died).pipe(
      Effect.timeoutFail({
        duration: "10 seconds",
        onTimeout: () => new VirtiofsdFailed({ message: "virtiofsd did not listen within 10 s" })
      })
    )
    return process
  }).pipe(Effect.withSpan("Virtiofsd.serve"))

/** virtiofsd says nothing when it is ready: its socket's file is the sign, and it takes a few milliseconds. */
const appears = (path: string) =>
  Effect.tryPromise(() => fs.lstat(path)).pipe(Effect.retry(Schedule.spaced("2 millis")), Effect.orDie)
