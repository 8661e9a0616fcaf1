/**
 * The variant `debian-python`: Debian's own packages, assembled on the host by mmdebstrap into a tar stream that aegis-mkroot
 * turns into a disk. Nothing is unpacked outside mmdebstrap's own temporary directory.
 */
import { Directories, Process } from "@aegis/host"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { pipeline } from "node:stream/promises"
import { debianMirrors } from "./DebianMirrors.ts"
import { explain, followLog } from "./DebstrapLog.ts"
import { MkrootFailure } from "./MkrootLines.ts"

/** One step of the work, for a progress display. `fraction` is 0 to 1 where it is known. */
export interface Progress {
  readonly phase: "packages" | "disk" | "done"
  readonly fraction?: number
  readonly detail?: string
}
export type Report = (progress: Progress) => void

export class AssemblyFailed extends Data.TaggedError("AssemblyFailed")<{
  readonly message: string
  readonly remedy: string
}> {}

const suite = "bookworm"

/** Beside these only what is essential to Debian; apt is not needed in a guest whose root is read-only. */
const packages = ["python3", "python-is-python3", "ca-certificates"]

/** Files that a guest has no use for; the packages' licences stay. */
const excluded = [
  "path-exclude=/usr/share/man/*",
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
  "path-exclude=/usr/share/locale/*",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/lintian/*",
  "path-exclude=/var/cache/*"
]

/** A mirror that does not answer is given up soon, and tried again twice. */
const network = ['Acquire::http::Timeout "20"', 'Acquire::https::Timeout "20"', 'Acquire::Retries "2"']

/** What the packages take while they are unpacked, and the disk. */
const neededBytes = { temporary: 600_000_000, disk: 300_000_000 }

export interface AssemblyOptions {
  /** The product's folder, which holds aegis-mkroot. */
  readonly product: string
  /** The file to make; what is there is replaced. */
  readonly disk: string
  readonly report: Report
  /** Found among the system's programs when not given. */
  readonly mmdebstrap?: string
}

/** Makes `disk` and says what it was made from. Interruption ends every process and leaves no file. */
export const assembleDebianPython = (options: AssemblyOptions): Effect.Effect<string, AssemblyFailed> =>
  Effect.gen(function* () {
    const mmdebstrap = options.mmdebstrap ?? "/usr/bin/mmdebstrap"
    yield* Effect.tryPromise({
      try: () => fs.access(mmdebstrap, fs.constants.X_OK),
      catch: () => notInstalled("mmdebstrap is not installed")
    })
    const temporary = yield* workDirectory(path.dirname(options.disk))
    yield* checkSpace(temporary, neededBytes.temporary)
    yield* checkSpace(path.dirname(options.disk), neededBytes.disk)
    const debstrap = yield* startDebstrap(mmdebstrap, temporary)
    const mkroot = yield* Process.spawn({
      command: `${options.product}/aegis-mkroot`,
      args: [options.disk],
      stdin: "pipe",
      stdout: "ignore",
      stderr: "tail",
      grace: "2 seconds"
    }).pipe(Effect.mapError(({ message, remedy }) => new AssemblyFailed({ message, remedy })))
    const log = followLog(debstrap, options.report)
    const [tar, sink] = yield* Effect.orDie(Option.all([debstrap.stdout, mkroot.stdin]))
    // A broken pipe between the two says nothing: the exit codes do.
    yield* Effect.ignore(Effect.tryPromise(() => pipeline(tar, sink, { end: false })))
    const assembled = yield* debstrap.exit
    if (assembled.code !== 0) {
      // aegis-mkroot still waits for the archive's end. When it has gone, it broke the pipe, and mmdebstrap's end follows from that.
      const gone = yield* Effect.timeoutOption(mkroot.exit, "200 millis")
      return yield* Option.isSome(gone) ? diskFailed(mkroot) : new AssemblyFailed(explain(log.lines()))
    }
    // Not before the archive is known to be whole: aegis-mkroot takes an archive's end for its end.
    options.report({ phase: "disk", fraction: 0.95 })
    sink.end()
    const made = yield* mkroot.exit
    if (made.code !== 0) return yield* diskFailed(mkroot)
    return `debian:${suite} (${packages.join(", ")})`
  }).pipe(
    Effect.scoped,
    Effect.onError(() => Effect.promise(() => fs.rm(options.disk, { force: true }))),
    Effect.withSpan("BaseRootfs.assemble")
  )

const startDebstrap = (
  mmdebstrap: string,
  temporary: string
): Effect.Effect<Process.Process, AssemblyFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const proxies = yield* proxyVariables
    const mirrors = yield* debianMirrors(suite)
    const [command, ...words] = [...(yield* confinement), mmdebstrap]
    return yield* Process.spawn({
      command,
      args: [
        ...words,
        // Root works as itself; a plain user in a user namespace, or under fakechroot where that is all there is.
        "--mode=auto",
        "--variant=essential",
        "--format=tar",
        `--include=${packages.join(",")}`,
        ...['Apt::Install-Recommends "false"', ...network].map((option) => `--aptopt=${option}`),
        ...excluded.map((option) => `--dpkgopt=${option}`),
        '--customize-hook=mkdir -p "$1/workspace"',
        suite,
        "-",
        ...mirrors
      ],
      // SOURCE_DATE_EPOCH makes mmdebstrap clamp times, so that equal packages give equal disks.
      env: { ...proxies, LC_ALL: "C", TMPDIR: temporary, SOURCE_DATE_EPOCH: "1700000000" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // mmdebstrap cleans up after itself when all of its processes are signalled, as a terminal's Ctrl+C does.
      detached: true,
      // In namespaces of ours it is killed with all that it has started. A plain user's must remove its files itself.
      grace: words.includes("--kill-child") ? "0 seconds" : "10 seconds"
    })
  }).pipe(Effect.catchTag("SpawnFailed", ({ message }) => notInstalled(message)))

const proxyVariables = Effect.map(
  Effect.forEach(["http_proxy", "https_proxy", "no_proxy"], (name) =>
    Effect.map(Effect.option(Config.nonEmptyString(name)), (value) => [name, Option.getOrUndefined(value)] as const)
  ),
  (pairs) => Object.fromEntries(pairs.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
)

/**
 * What runs mmdebstrap: it ends when this process dies. Root may make namespaces, where allowed: then its mounts and all that it
 * has started end with it, however it ends.
 */
const confinement: Effect.Effect<ReadonlyArray<string>> = Effect.gen(function* () {
  const isRoot = process.getuid?.() === 0
  const words = isRoot
    ? ["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    : ["--pdeathsig", "TERM"]
  const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const
  const tried = yield* Process.spawn({ command: "setpriv", args: [...words, "true"], ...quiet })
  return (yield* tried.exit).code === 0 ? ["setpriv", ...words] : []
}).pipe(
  Effect.scoped,
  Effect.orElseSucceed(() => [])
)

const notInstalled = (message: string) =>
  new AssemblyFailed({
    message,
    remedy: "apt-get install mmdebstrap uidmap (mmdebstrap exists for Debian and its descendants)"
  })

const diskFailed = (mkroot: Process.Process) =>
  Effect.flatMap(mkroot.stderrTail, (text) => {
    const last = text.trim().split("\n").at(-1) ?? ""
    const { code, message } = Option.getOrElse(Schema.decodeOption(MkrootFailure)(last), () => ({
      code: "",
      message: last
    }))
    return new AssemblyFailed({
      message: `aegis-mkroot failed: ${message}`,
      remedy:
        code === "no-space"
          ? "free some space on the file system that holds ~/.aegis"
          : "try again; if it persists, build or install aegis anew"
    })
  })

const removalSchedule = Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(10))

/**
 * mmdebstrap's own place under the system's temporary directory, since in a user namespace it may not enter a private one.
 * Removed with the scope, and by the next assembly for the same home if this process is killed.
 */
const workDirectory = (home: string) =>
  Effect.gen(function* () {
    const prefix = `aegis-rootfs-${createHash("sha256").update(home).digest("hex").slice(0, 12)}-`
    const names = yield* Effect.promise(() => fs.readdir(tmpdir()).catch(() => []))
    const left = names.filter((name) => name.startsWith(prefix))
    yield* Effect.forEach(left, (name) => Effect.ignore(Directories.removeTree(path.join(tmpdir(), name))))
    return yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const made = await fs.mkdtemp(path.join(tmpdir(), prefix))
          await fs.chmod(made, 0o755)
          return made
        },
        catch: (cause) =>
          new AssemblyFailed({ message: String(cause), remedy: "set TMPDIR to a directory that you can write to" })
      }),
      // What was killed with its namespace may take a moment to be gone.
      (made) => Effect.ignoreLogged(Effect.retry(Directories.removeTree(made), removalSchedule))
    )
  })

const checkSpace = (directory: string, needed: number) =>
  Effect.gen(function* () {
    const { bavail, bsize } = yield* Effect.promise(() => fs.statfs(directory))
    const free = bavail * bsize
    if (free >= needed) return
    const inMegabytes = (bytes: number) => Math.floor(bytes / 1e6)
    yield* new AssemblyFailed({
      message: `${directory} has ${inMegabytes(free)} MB free; ${inMegabytes(needed)} MB are needed`,
      remedy: `free some space on the file system that holds ${directory}`
    })
  })
