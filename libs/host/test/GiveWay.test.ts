import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { readFileSync } from "node:fs"
import * as os from "node:os"
import { giveWay, Process } from "../src/index.ts"

const text = (file: string) => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

const niceness = Math.min(os.getPriority() + 5, 19)

describe("giveWay", () => {
  // A plain user may change one session in 100 ms, so some of these are refused at first.
  it.scopedLive(
    "T-227 of several at once: each of them, and all that they begin, comes after the rest of the machine",
    () =>
      Effect.forEach(
        [1, 2, 3],
        () =>
          Effect.gen(function* () {
            const child = yield* Process.spawn({
              command: "/bin/sh",
              args: ["-c", "read _; sleep 1000 & echo $!; wait"],
              detached: true,
              stdin: "pipe",
              stdout: "tail",
              stderr: "ignore"
            })
            yield* giveWay(child.pid)
            if (child.stdin._tag === "Some") child.stdin.value.end("\n")
            const grandchild = Effect.flatMap(child.stdoutTail, (said) =>
              said.endsWith("\n") ? Effect.succeed(Number(said)) : Effect.fail("it has not said")
            ).pipe(Effect.retry(Schedule.spaced("1 millis")))
            for (const pid of [child.pid, yield* grandchild]) {
              assert.strictEqual(text(`/proc/${pid}/oom_score_adj`), "500\n")
              assert.strictEqual(os.getPriority(pid), niceness)
              yield* Effect.repeat(
                Effect.sync(() => text(`/proc/${pid}/autogroup`)),
                {
                  until: (said) => said === "" || said.endsWith(` nice ${niceness}\n`),
                  schedule: Schedule.spaced("10 millis")
                }
              )
            }
          }),
        { concurrency: "unbounded" }
      )
  )

  it.scopedLive("a process that has ended is nobody's concern", () =>
    Effect.gen(function* () {
      const child = yield* Process.spawn({
        command: "/bin/true",
        args: [],
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore"
      })
      yield* child.exit
      yield* giveWay(child.pid)
    })
  )
})
