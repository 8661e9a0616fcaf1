/**
 * The terminal that this program was called from, if there is one.
 */
import type { TerminalSize } from "@aegis/domain"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export class Terminal extends Context.Tag("@aegis/app-aegis/Terminal")<
  Terminal,
  {
    /** Whether standard input is a terminal. */
    readonly isInput: boolean
    /** Of the one that shows our output; 24 by 80 where there is none. */
    readonly size: Effect.Effect<TerminalSize>
    /** Each new size. */
    readonly resized: Stream.Stream<TerminalSize>
    /** Passes every key on as it is typed, Ctrl+C too, until the scope ends. Does nothing where standard input is no terminal. */
    readonly raw: Effect.Effect<void, never, Scope.Scope>
  }
>() {
  static readonly layer = Layer.sync(this, () => {
    const output = [process.stdout, process.stderr].find(({ isTTY }) => isTTY)
    const size = Effect.sync((): TerminalSize => {
      const [cols, rows] = output?.getWindowSize() ?? [80, 24]
      return cols > 0 && rows > 0 ? { rows, cols } : { rows: 24, cols: 80 }
    })
    const isInput = process.stdin.isTTY
    const setRaw = (mode: boolean) => Effect.sync(() => void (isInput && process.stdin.setRawMode(mode)))
    return Terminal.of({
      isInput: isInput === true,
      size,
      resized: Stream.asyncPush<void>((emit) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const listener = () => void emit.single(undefined)
            output?.on("resize", listener)
            return listener
          }),
          (listener) => Effect.sync(() => output?.off("resize", listener))
        )
      ).pipe(Stream.mapEffect(() => size)),
      // Node restores it as well when the process ends in another way than by a signal that nobody handles.
      raw: Effect.acquireRelease(setRaw(true), () => setRaw(false))
    })
  })
}
