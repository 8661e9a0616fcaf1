/**
 * virtiofsd: the vhost-user server that shares one directory with one guest, in a process of its own, confined by itself.
 */
import { giveWay, Process, ProcessTable, UnixSocket } from "@aegis/host"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"

export class VirtiofsdFailed extends Data.TaggedError("VirtiofsdFailed")<{
  readonly message: string
  readonly remedy: string
}> {}

export interface VirtiofsdOptions {
  readonly program: string
  /** The real path that was checked: served is the directory that has this name now, not one that a symlink leads to. */
  readonly path: string
  readonly readOnly: boolean
  /** In the VM's run directory, where the process is recorded beside it. */
  readonly socketPath: string
}

/**
 * Serves until the scope closes. Succeeds when the socket listens. In mount, process and network namespaces of its own, under
 * seccomp, it sees nothing but the shared directory.
 *
 * A plain user's virtiofsd is in a user namespace, too, in which root is that user: whatever user of the guest makes a file, it
 * belongs to the user on the host, and to root in the guest.
 */
export const serve = (options: VirtiofsdOptions): Effect.Effect<Process.Process, VirtiofsdFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const process = yield* Effect.acquireUseRelease(
      openDirectory(options.path),
      (directory) => spawn(options, `/proc/self/fd/${directory.fd}`),
      (directory) => Effect.promise(() => directory.close())
    )
    // Its VMM is released first, and it ends by itself when that has gone.
    yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(process.exit), "1 second"))
    yield* giveWay(process.pid)
    yield* ProcessTable.record(`${path.dirname(options.socketPath)}/virtiofsd.pid`, process.pid)
    const died = Effect.flatMap(process.exit, () =>
      Effect.flatMap(process.stderrTail, (text) => failed(`virtiofsd ended: ${text.trim()}`))
    )
    // It says nothing when it is ready, and a connection would be taken for its VMM's.
    yield* Effect.raceFirst(UnixSocket.untilListening(options.socketPath), died).pipe(
      Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => failed("virtiofsd did not listen within 10 s") })
    )
    return process
  }).pipe(Effect.withSpan("Virtiofsd.serve"))

const failed = (message: string, remedy = namespaceRemedy) => new VirtiofsdFailed({ message, remedy })

const namespaceRemedy = "virtiofsd needs namespaces (a plain user: user namespaces); aegis doctor checks them"

/**
 * Opens the directory and makes sure that it is the one of this real path: a component that has become a symlink since the path
 * was checked leads elsewhere, and the open descriptor tells where (T-138).
 */
const openDirectory = (directory: string): Effect.Effect<fs.FileHandle, VirtiofsdFailed> =>
  Effect.gen(function* () {
    const remedy = "run it again with the directory as it is now"
    const handle = yield* Effect.tryPromise({
      try: () => fs.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW),
      catch: (cause) => failed(`the workspace ${directory} has changed: ${String(cause)}`, remedy)
    })
    const real = yield* Effect.promise(() => fs.readlink(`/proc/self/fd/${handle.fd}`).catch(() => ""))
    if (real === directory) return handle
    yield* Effect.promise(() => handle.close())
    return yield* failed(`the workspace ${directory} has been replaced by a symlink`, remedy)
  })

/** The open directory goes in as its working directory, so that no name is looked up a second time. */
const spawn = (options: VirtiofsdOptions, cwd: string) =>
  Process.spawn({
    command: options.program,
    args: [
      `--socket-path=${options.socketPath}`,
      "--shared-dir=.",
      "--sandbox=namespace",
      "--seccomp=kill",
      "--cache=auto",
      "--log-level=error",
      "--inode-file-handles=never",
      ...userMapping,
      ...(options.readOnly ? ["--readonly"] : [])
    ],
    cwd,
    detached: true,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "tail"
  }).pipe(Effect.mapError(({ message, remedy }) => failed(message, remedy)))

const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]

const everybody = "0:0:4294967295"

/** Root keeps the guest's owners as they are. A plain user may only ever be one user: all of the guest's become that one. */
const userMapping =
  uid === 0
    ? []
    : [
        `--uid-map=:0:${uid}:1:`,
        `--gid-map=:0:${gid}:1:`,
        `--translate-uid=squash-guest:${everybody}`,
        `--translate-gid=squash-guest:${everybody}`
      ]
