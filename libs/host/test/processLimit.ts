/** Run by a test: one process more than its user may have. Says what came of it. */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { Process } from "../src/index.ts"

// The limit does not hold root. Some number that nobody else has.
if (process.getuid?.() === 0) process.setuid?.(54_321)
execFileSync("prlimit", ["--nproc=1:1", "--pid", `${process.pid}`])

const spawn = Process.spawn({ command: "/bin/true", args: [], stdin: "ignore", stdout: "ignore", stderr: "ignore" })

await Effect.runPromise(
  Effect.scoped(spawn).pipe(
    Effect.match({
      onFailure: ({ _tag, cause, remedy }) => ({ _tag, cause, remedy }),
      onSuccess: ({ pid }) => ({ pid })
    }),
    Effect.flatMap((said) => Effect.sync(() => process.stdout.write(JSON.stringify(said))))
  )
)
