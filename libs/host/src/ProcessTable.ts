/**
 * Other processes, told apart by their start time: a process id alone may belong to somebody else by now.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"

export interface ProcessEntry {
  readonly pid: number
  /** `R`, `S`, `D`, `T`, `Z`, …: proc(5). */
  readonly state: string
  /** In clock ticks since the machine's boot. */
  readonly startTime: string
}

/** A living process's entry; none for one that is gone or only waits to be reaped. Linux's /proc. */
export const read = (pid: number): Effect.Effect<Option.Option<ProcessEntry>> =>
  Effect.sync(() => {
    const stat = statOf(pid)
    // The second field is the program's name in parentheses and may hold anything, parentheses and blanks too.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const [state] = fields
    const startTime = fields[19]
    return state === undefined || startTime === undefined || state === "Z"
      ? Option.none()
      : Option.some({ pid, state, startTime })
  })

/** The kernel has it at hand and waits for no disk: read in place it takes 12 µs, by way of a thread of libuv's 130. */
const statOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
  } catch {
    return ""
  }
}

/**
 * Writes who `pid` is to `file`, for a later daemon that finds it running (or finds its number with somebody else). Where it
 * cannot be written the log says so and the process goes on: it is orphaned only if this daemon dies too.
 */
export const record = (file: string, pid: number): Effect.Effect<void> =>
  Effect.flatMap(
    read(pid),
    Option.match({
      onNone: () => Effect.void,
      onSome: ({ startTime }) =>
        Effect.tryPromise(() => fs.writeFile(file, `${pid} ${startTime}\n`, { mode: 0o600 })).pipe(
          Effect.catchAll((error) => Effect.logWarning(`${file} was not written`, error.error))
        )
    })
  )

/** Whether there is a process of that number, which may be another by now, or wait to be reaped: that takes a tenth of `isAlive`. */
export const exists = (pid: number): Effect.Effect<boolean> =>
  Effect.sync(() => {
    try {
      return process.kill(pid, 0)
    } catch (error) {
      // It is another user's.
      return error instanceof Error && "code" in error && error.code === "EPERM"
    }
  })

/** Whether that very process still lives: the same number and the same start. */
export const isAlive = ({ pid, startTime }: Pick<ProcessEntry, "pid" | "startTime">): Effect.Effect<boolean> =>
  Effect.map(
    read(pid),
    Option.exists((found) => found.startTime === startTime)
  )

/**
 * How many bytes a process and its children have caused to be written to disks so far (proc_pid_io(5), `write_bytes`); one that cannot
 * be read counts as none. Linux's /proc.
 */
export const written = (pid: number): Effect.Effect<number> =>
  Effect.promise(async () => {
    const text = (file: string) => fs.readFile(`/proc/${file}`, "utf8").catch(() => "")
    const children = (await text(`${pid}/task/${pid}/children`)).split(" ").filter((child) => child !== "")
    const counts = await Promise.all([pid, ...children].map((one) => text(`${one}/io`)))
    return counts.reduce((sum, count) => sum + Number(/^write_bytes: (\d+)$/m.exec(count)?.[1] ?? 0), 0)
  })

/** The arguments of each living process of this user. Linux's /proc. */
export const commandLines: Effect.Effect<ReadonlyArray<ProcessEntry & { readonly argv: ReadonlyArray<string> }>> =
  Effect.gen(function* () {
    const names = yield* Effect.promise(() => fs.readdir("/proc").catch(() => []))
    const found = yield* Effect.forEach(
      names.filter((name) => /^[0-9]+$/.test(name)),
      (pid) =>
        Effect.gen(function* () {
          const owner = yield* Effect.promise(() => fs.stat(`/proc/${pid}`).catch(() => undefined))
          if (owner?.uid !== process.getuid?.()) return Option.none()
          const argv = yield* Effect.promise(() => fs.readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""))
          return Option.map(yield* read(Number(pid)), (entry) => ({ ...entry, argv: argv.split("\0") }))
        }),
      { concurrency: 16 }
    )
    return found.flatMap(Option.toArray)
  })

/** How long a killed process may take to be gone; its memory has to be given back first. */
const killPatience = "5 seconds"

/** SIGKILL for that very process, and waits until it is gone; says whether it was there to be killed. */
export const end = (entry: Pick<ProcessEntry, "pid" | "startTime">): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    if (!(yield* isAlive(entry))) return false
    const killed = yield* Effect.isSuccess(Effect.try(() => process.kill(entry.pid, "SIGKILL")))
    yield* isAlive(entry).pipe(
      Effect.repeat({ while: (alive) => alive && killed, schedule: Schedule.spaced("5 millis") }),
      Effect.interruptible,
      Effect.timeoutOption(killPatience)
    )
    return killed
  })

/** Ends the process that was recorded in `file` if it still lives; says whether it did. */
export const endRecorded = (file: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const text = yield* Effect.promise(() => fs.readFile(file, "utf8").catch(() => ""))
    const recorded = /^([1-9][0-9]{0,9}) ([0-9]+)$/.exec(text.trim())
    if (recorded?.[1] === undefined || recorded[2] === undefined) return false
    return yield* end({ pid: Number(recorded[1]), startTime: recorded[2] })
  })
