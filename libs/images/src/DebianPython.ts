/**
 * The variant `debian-python`: Debian's own packages, assembled on the host by mmdebstrap into a tar stream that aegis-mkroot
 * turns into a disk. Nothing is unpacked outside mmdebstrap's own temporary directory.
 */
import { Process } from "@aegis/host"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { pipeline } from "node:stream/promises"
import { createInterface } from "node:readline"
import * as fs from "node:fs/promises"

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

/** Files that a guest has no use for. */
const excluded = [
  "/usr/share/man/*",
  "/usr/share/doc/*",
  "/usr/share/locale/*",
  "/usr/share/info/*",
  "/usr/share/lintian/*",
  "/var/cache/*"
]

/** Makes `disk` and says what it was made from. Interruption ends every process and leaves no file. */
export const assembleDebianPython = (options: {
  /** The product's folder, which holds aegis-mkroot. */
  readonly product: string
  readonly disk: string
  readonly report: Report
}): Effect.Effect<string, AssemblyFailed> =>
  Effect.gen(function* () {
    const mode = (process.getuid?.() ?? 0) === 0 ? "root" : "unshare"
    const debstrap = yield* Process.spawn({
      command: "mmdebstrap",
      args: [
        `--mode=${mode}`,
        "--variant=essential",
        "--format=tar",
        `--include=${packages.join(",")}`,
        '--aptopt=Apt::Install-Recommends "false"',
        ...excluded.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
        // Mount points and the name that every guest's /etc needs; resolv.conf follows with the network.
        '--customize-hook=mkdir -p "$1/workspace"',
        suite,
        "-"
      ],
      // SOURCE_DATE_EPOCH makes mmdebstrap clamp times, so that equal packages give equal disks.
      env: { LC_ALL: "C", SOURCE_DATE_EPOCH: "1700000000" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      grace: "5 seconds"
    }).pipe(
      Effect.mapError(
        (error) => new AssemblyFailed({ message: error.message, remedy: "apt-get install mmdebstrap uidmap" })
      )
    )
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
    yield* Effect.tryPromise(() => pipeline(tar, sink)).pipe(Effect.ignore)
    const assembled = yield* debstrap.exit
    if (assembled.code !== 0) return yield* explain(log())
    options.report({ phase: "disk" })
    const made = yield* mkroot.exit
    if (made.code !== 0) {
      return yield* new AssemblyFailed({
        message: `aegis-mkroot failed: ${(yield* mkroot.stderrTail).trim().split("\n").at(-1) ?? ""}`,
        remedy: "check the free space of the file system that holds ~/.aegis"
      })
    }
    return `debian:${suite} (${packages.join(", ")})`
  }).pipe(
    Effect.scoped,
    Effect.onError(() => Effect.promise(() => fs.rm(options.disk, { force: true }))),
    Effect.withSpan("BaseRootfs.assemble")
  )

/** Reports what mmdebstrap says it does, line by line; gives its last lines on demand. */
const followLog = (debstrap: Process.Process, report: Report) => {
  const last: Array<string> = []
  const source = Option.getOrUndefined(debstrap.stderr)
  if (source !== undefined) {
    createInterface({ input: source }).on("line", (line) => {
      last.push(line)
      if (last.length > 20) last.shift()
      const step = /^I: (.*)$/.exec(line)
      if (step?.[1] !== undefined) report({ phase: "packages", detail: step[1] })
    })
  }
  return () => last
}

const explain = (log: ReadonlyArray<string>) => {
  const errors = log.filter((line) => /^(E|W|Err):?/.test(line))
  const words = (errors.length > 0 ? errors : log).slice(-3).join("; ")
  const offline = /resolve|connect|Failed to fetch|timed out/i.test(log.join("\n"))
  return new AssemblyFailed({
    message: `mmdebstrap failed: ${words}`,
    remedy: offline
      ? "check the network: the Debian mirror of /etc/apt could not be reached"
      : "run mmdebstrap bookworm /dev/null to see more"
  })
}
