/**
 * Other processes, told apart by their start time: a process id alone may belong to somebody else by now.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
  Effect.promise(() => fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")).pipe(
    Effect.map((stat) => {
      // The second field is the program's name in parentheses and may hold anything, parentheses and blanks too.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      const [state] = fields
      const startTime = fields[19]
      return state === undefined || startTime === undefined || state === "Z"
        ? Option.none()
        : Option.some({ pid, state, startTime })
    })
  )

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

/** Whether that very process still lives: the same number and the same start. */
export const isAlive = ({ pid, startTime }: Pick<ProcessEntry, "pid" | "startTime">): Effect.Effect<boolean> =>
  Effect.map(
    read(pid),
    Option.exists((found) => found.startTime === startTime)
  )

/** SIGKILL for that very process; says whether it was there to be killed. */
export const killIfAlive = (entry: Pick<ProcessEntry, "pid" | "startTime">): Effect.Effect<boolean> =>
  Effect.flatMap(isAlive(entry), (alive) =>
    alive
      ? Effect.try(() => process.kill(entry.pid, "SIGKILL")).pipe(Effect.orElseSucceed(() => false))
      : Effect.succeed(false)
  )

/** Kills the process that was recorded in `file` if it still lives; says whether it did. */
export const killRecorded = (file: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const text = yield* Effect.promise(() => fs.readFile(file, "utf8").catch(() => ""))
    const recorded = /^([1-9][0-9]{0,9}) ([0-9]+)$/.exec(text.trim())
    if (recorded?.[1] === undefined || recorded[2] === undefined) return false
    return yield* killIfAlive({ pid: Number(recorded[1]), startTime: recorded[2] })
  })
