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

/** Writes who `pid` is to `file`, for a later daemon that finds it running (or finds its number with somebody else). */
export const record = (file: string, pid: number): Effect.Effect<void> =>
  Effect.flatMap(
    read(pid),
    Option.match({
      onNone: () => Effect.void,
      onSome: ({ startTime }) => Effect.promise(() => fs.writeFile(file, `${pid} ${startTime}\n`, { mode: 0o600 }))
    })
  )

/** Kills the process that was recorded in `file` if it still lives; says whether it did. */
export const killRecorded = (file: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const text = yield* Effect.promise(() => fs.readFile(file, "utf8").catch(() => ""))
    const [pid, startTime] = text.trim().split(" ")
    const found = yield* read(Number(pid))
    if (Option.isNone(found) || found.value.startTime !== startTime) return false
    return yield* Effect.try(() => process.kill(found.value.pid, "SIGKILL")).pipe(Effect.orElseSucceed(() => false))
  })
