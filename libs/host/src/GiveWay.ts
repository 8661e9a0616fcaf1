/** What a process does for a guest comes after what its user and the daemon do, where the machine has too little for both. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { readdirSync, writeFileSync } from "node:fs"
import * as os from "node:os"

/**
 * By how much more it yields than we do: it gets a third of our share of a processor (sched(7)). Fifty guests that boot leave the daemon
 * enough to answer.
 */
const step = 5
const mostNice = 19
const niceness = Math.min(os.getPriority() + step, mostNice)

/**
 * Where memory runs out on this machine, the kernel ends this process rather than one that others need (T-227); where processors
 * do, it gets less of them. The process leads its session, and has just begun. Linux's /proc.
 */
export const giveWay = (pid: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    // In place: the kernel waits for no disk, and until it is done the process takes from the daemon what it has to do next.
    yield* Effect.ignore(attempt(() => writeFileSync(`/proc/${pid}/oom_score_adj`, "500")))
    yield* Effect.ignore(attempt(() => niceThreads(pid)))
    const session = attempt(() => writeFileSync(`/proc/${pid}/autogroup`, String(niceness)))
    yield* session.pipe(
      Effect.catchAll((code) =>
        code === "EAGAIN" ? Effect.asVoid(Effect.forkScoped(patiently(session))) : Effect.void
      )
    )
  })

/** Each thread has its own, and gives it to those that it begins. */
const niceThreads = (pid: number) => {
  for (const thread of readdirSync(`/proc/${pid}/task`)) os.setPriority(Number(thread), niceness)
}

/** Fails with the code of the system's error, of which none matters: the process has ended, or the kernel has no such feature. */
const attempt = (work: () => void) =>
  Effect.try({ try: work, catch: (error) => (error instanceof Error && "code" in error ? error.code : undefined) })

/**
 * Where the kernel shares processors out among sessions (sched(7), "The autogroup feature"), theirs counts and not the threads' own. It
 * takes one change in 100 ms from all who are not root, and says EAGAIN to the others.
 */
const patiently = (change: Effect.Effect<void, unknown>) =>
  Effect.ignore(
    Effect.retry(change, {
      while: (code) => code === "EAGAIN",
      schedule: Schedule.jittered(Schedule.spaced("150 millis")),
      times: 100
    })
  )
