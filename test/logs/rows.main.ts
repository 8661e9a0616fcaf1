/**
 * The rows of the log store as a program that says one line a row: `ok TITLE`, or `not ok TITLE: why`. It needs the right to mount in what
 * it sees of the file system, and is bundled, since it also runs in the testbed.
 *
 * rows.main.cjs PRODUCT HOME WORK CAP-MIB LINES FOLLOWERS LONG-LINE
 */
import { Aegis } from "@aegis/client"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { logBox } from "./Box.ts"
import { logRows } from "./rows.ts"

const [product = "", home = "", work = "", capMib, lines, followers, longLine] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const box = yield* logBox({
    product,
    home,
    work,
    capMib: Number(capMib),
    lines: Number(lines),
    followers: Number(followers),
    longLine: Number(longLine)
  })
  for (const [title, row] of Object.entries(logRows)) {
    const exit = yield* Effect.exit(Effect.scoped(row(box)).pipe(Effect.timeout("150 seconds")))
    const line = Exit.match(exit, {
      onSuccess: () => `ok ${title}`,
      onFailure: (cause) => `not ok ${title}: ${Cause.pretty(cause).split("\n").slice(0, 4).join(" | ").slice(0, 900)}`
    })
    process.stdout.write(`${line}\n`)
  }
  yield* box.down
}).pipe(Effect.provide(Aegis.layerAt(home)))

Effect.runPromise(program).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  }
)
