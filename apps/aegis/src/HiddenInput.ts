/**
 * A line typed at a terminal that does not show it.
 */
import * as Effect from "effect/Effect"
import { StringDecoder } from "node:string_decoder"
import { Interrupted } from "./Errors.ts"
import { Stdio } from "./Stdio.ts"

/** Whether somebody sits at standard input. */
export const inputIsTerminal: Effect.Effect<boolean> = Effect.sync(() => process.stdin.isTTY === true)

/** Asks on standard error and reads until Enter, or Ctrl+D. Backspace and Ctrl+U correct; Ctrl+C interrupts. */
export const readHidden = (question: string): Effect.Effect<string, Interrupted, Stdio> =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    return yield* Effect.acquireUseRelease(
      Effect.sync(() => process.stdin.setRawMode(true)),
      // Asked only now: whoever types at once must not see it either.
      (terminal) => Effect.zipRight(stdio.note(question), readLine(terminal)),
      (terminal) =>
        Effect.sync(() => {
          terminal.setRawMode(false)
          terminal.pause()
        })
    ).pipe(Effect.ensuring(stdio.note("\n")))
  })

const readLine = (terminal: NodeJS.ReadStream) =>
  Effect.async<string, Interrupted>((resume) => {
    const decoder = new StringDecoder("utf8")
    let typed: ReadonlyArray<string> = []
    const answer = (result: Effect.Effect<string, Interrupted>) => {
      terminal.off("data", take)
      terminal.off("end", end)
      resume(result)
    }
    const end = () => answer(Effect.succeed(typed.join("")))
    const take = (bytes: Buffer) => {
      for (const character of decoder.write(bytes)) {
        if (character === "\r" || character === "\n" || character === "\u0004") return end()
        if (character === "\u0003") return answer(new Interrupted({ signal: "SIGINT" }))
        if (character === "\u0015") typed = []
        else if (character === "\u007f" || character === "\b") typed = typed.slice(0, -1)
        else typed = [...typed, character]
      }
    }
    terminal.on("data", take)
    terminal.once("end", end)
    return Effect.sync(() => {
      terminal.off("data", take)
      terminal.off("end", end)
    })
  })
