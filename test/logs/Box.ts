/** A daemon and the guest whose log is looked at, as a program sees both: by the typed client, by files, and by signals. */
import { Aegis } from "@aegis/client"
import {
  Handle,
  HostWorkspace,
  InstanceSpec,
  type LogEntry,
  type LogGap,
  type LogLine,
  type LogQuery,
  MemoryMib,
  type SecretRequest
} from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { logGuest } from "./guest.ts"

export interface LogBoxOptions {
  /** The folder with the product's programs. */
  readonly product: string
  readonly home: string
  /** A folder of the host's own for what is needed beside the home. */
  readonly work: string
  /** What a log may hold, in MiB, and how many lines of 1000 bytes are said, which are more than that. */
  readonly capMib: number
  readonly lines: number
  readonly followers: number
  /** Of one line that is longer than an entry. */
  readonly longLine: number
}

export interface LogBox extends Effect.Effect.Success<ReturnType<typeof logBox>> {}

/** Has a daemon and in it the instance `box`, which has said what it says at first. */
export const logBox = (options: LogBoxOptions) =>
  Effect.gen(function* () {
    const { home, work } = options
    const aegis = yield* Aegis
    const data = path.join(home, "data")
    const env = { ...process.env, AEGIS_HOME: home, AEGIS_LOG_CAP: String(options.capMib) }
    fs.writeFileSync(path.join(work, "guest.py"), logGuest)
    fs.writeFileSync(path.join(work, "clock.cjs"), clock)

    const there = (name: string) => Effect.sync(() => fs.existsSync(path.join(work, name)))
    const touch = (name: string) => Effect.sync(() => fs.writeFileSync(path.join(work, name), ""))
    /** A daemon, also one that sees a clock of ten years ago. */
    const up = (command: ReadonlyArray<string> = []) => {
      const [program, ...args] = [...command, path.join(options.product, "aegisd")]
      return Effect.zipRight(
        Effect.sync(() => spawn(program ?? "", args, { env, stdio: "ignore", detached: true }).unref()),
        until("the daemon answers", Effect.isSuccess(aegis.status), (answers) => answers)
      )
    }
    const end = (signal: NodeJS.Signals) =>
      Effect.suspend(() => {
        const pid = Number(fs.readFileSync(path.join(data, "aegisd.pid"), "utf8"))
        process.kill(pid, signal)
        return until(
          "the daemon's end",
          Effect.sync(() => fs.existsSync(`/proc/${pid}`)),
          (alive) => !alive
        )
      })

    const log = (query: LogQuery = {}, target = "box") =>
      Effect.map(Stream.runCollect(aegis.logs(target, query)), Chunk.toReadonlyArray)
    const saidLately = (words: string) =>
      Effect.map(log({ tail: 20 }), (found) => primary(found).filter((entry) => textOf(entry) === words))

    const start = (
      handle: string,
      command: readonly [string, ...ReadonlyArray<string>],
      more: { readonly secrets?: ReadonlyArray<SecretRequest>; readonly workspace?: HostWorkspace } = {}
    ) =>
      aegis.start(
        new InstanceSpec({
          command,
          handle: Handle.make(handle),
          memoryMib: MemoryMib.make(128),
          idlePauseSeconds: 0,
          ...more
        })
      )

    yield* up()
    const { instance } = yield* start("box", ["python3", "guest.py", `${options.lines}`, `${options.longLine}`], {
      workspace: new HostWorkspace({ path: work, readOnly: false })
    })
    yield* until("it has begun", there("begun"), (begun) => begun)
    const folder = path.join(data, "logs", instance.id)
    const first = yield* log()

    return {
      ...options,
      /** What was in its log then, and the bytes of its command's part. */
      first,
      text: saidBy(primary(first)),
      folder,
      /** Whether the guest has come so far, and what makes it go on. */
      there,
      touch,
      up: up(),
      upTenYearsAgo: up([process.execPath, "--require", path.join(work, "clock.cjs")]),
      kill: end("SIGKILL"),
      down: end("SIGTERM"),
      log,
      saidLately,
      /** Has the guest say its next line, and waits until that is in the log. */
      say: (words: string) =>
        Effect.zipRight(
          touch("say"),
          until(words, saidLately(words), (found) => found.length > 0)
        ),
      start,
      /** A command of the product's, its output as it comes. */
      program: (...args: ReadonlyArray<string>) =>
        spawn(path.join(options.product, "aegis"), args, { env, stdio: ["ignore", "pipe", "ignore"] }),
      /** The log's files, the oldest first. */
      segments: () =>
        fs
          .readdirSync(folder)
          .filter((name) => name.endsWith(".log"))
          .sort()
          .map((name) => path.join(folder, name)),
      /** Which files of the home hold these words, but for what guests have said. */
      filesWith: (words: string) => {
        const args = ["-rlaF", words, home, "--exclude-dir=logs", "--exclude-dir=base-rootfs", "-D", "skip"]
        return execFileSync("sh", ["-c", 'grep "$@" || true', "sh", ...args], { encoding: "utf8" })
      },
      /** From now on logs have a quarter of what one may hold to be stored in. */
      smallLogDisk: Effect.sync(() =>
        execFileSync("mount", [
          "-t",
          "tmpfs",
          "-o",
          `size=${options.capMib / 4}m,mode=700`,
          "tmpfs",
          path.join(data, "logs")
        ])
      )
    }
  })

const clock = `
const years = 10 * 365.25 * 86_400_000, real = Date.now
Date.now = () => real() - years
globalThis.Date = new Proxy(Date, { construct: (of, args) => new of(...(args.length === 0 ? [Date.now()] : args)) })
`

/** Looks ten times a second, for two minutes. */
export const until = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, seen: (found: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: seen, schedule: Schedule.spaced("100 millis") }),
    Effect.timeoutFail({ duration: "2 minutes", onTimeout: () => new Error(`waited in vain: ${what}`) })
  )

export const primary = (entries: ReadonlyArray<LogEntry>): ReadonlyArray<LogLine> =>
  entries.flatMap((entry) => (entry._tag === "Line" && entry.source === "primary" ? [entry] : []))

export const gaps = (entries: ReadonlyArray<LogEntry>): ReadonlyArray<LogGap> =>
  entries.flatMap((entry) => (entry._tag === "Gap" ? [entry] : []))

/** A line's bytes, one character for each. */
export const textOf = (entry: LogEntry): string =>
  entry._tag === "Line" ? Buffer.from(entry.bytes).toString("latin1") : ""

/** What was written, byte for byte: a line that was unfinished while no daemon was there may be in two pieces. */
export const saidBy = (lines: ReadonlyArray<LogLine>): Buffer =>
  Buffer.concat(lines.flatMap(({ bytes, partial }) => (partial ? [bytes] : [bytes, lineFeed])))

const lineFeed = Buffer.from("\n")

/** The numbers of the lines of 1000 bytes. */
export const numbers = (entries: ReadonlyArray<LogEntry>): ReadonlyArray<number> =>
  Array.from(
    saidBy(primary(entries))
      .toString("latin1")
      .matchAll(/^(\d{8})\.{991}$/gm),
    ([, number]) => Number(number)
  )

export const seqOf = (entry: LogEntry | undefined): number =>
  entry === undefined ? Number.NaN : entry._tag === "Gap" ? entry.toSeq : entry.seq

/** A row of the specification: what is looked at, and how. */
export type LogRows = Readonly<Record<string, (box: LogBox) => Effect.Effect<void, unknown, Aegis | Scope.Scope>>>
