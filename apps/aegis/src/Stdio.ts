/**
 * The three standard streams as Effects.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { useColor } from "./ErrorText.ts"
import { InputFailed, OutputClosed, OutputFailed } from "./Errors.ts"

export type OutputError = OutputClosed | OutputFailed

export class Stdio extends Context.Tag("@aegis/app-aegis/Stdio")<
  Stdio,
  {
    /** Writes text to standard output. */
    readonly print: (text: string) => Effect.Effect<void, OutputError>
    /** Writes text to standard error; that nobody reads it is no failure. */
    readonly note: (text: string) => Effect.Effect<void>
    /** Writes bytes as they are; succeeds when the kernel has taken them, so that a slow reader slows the writer. */
    readonly write: (stream: "stdout" | "stderr", bytes: Uint8Array) => Effect.Effect<void, OutputError>
    /** Standard input, in chunks of at most 64 KiB. Not touched until it is run. */
    readonly input: Stream.Stream<Uint8Array, InputFailed>
    /** Whether standard error is a terminal, where progress may be shown. */
    readonly isTerminal: boolean
    /** Whether standard error may be coloured, and whether standard output may be. */
    readonly color: boolean
    readonly colorsOutput: boolean
  }
>() {
  /** The process's own streams. */
  static readonly layer = Layer.sync(this, () => {
    const write = (stream: NodeJS.WriteStream, data: Uint8Array | string) =>
      Effect.async<void, OutputError>((resume) => {
        stream.write(data, (error) => resume(error === null || error === undefined ? Effect.void : outputError(error)))
      })
    return Stdio.of({
      print: (text) => write(process.stdout, text),
      note: (text) => Effect.ignore(write(process.stderr, text)),
      write: (stream, bytes) => write(process[stream], bytes),
      // Not by its async iterator, whose end waits for a read that is under way: a command that ends would wait for a key.
      input: Stream.suspend(() =>
        NodeStream.fromReadable<InputFailed, Uint8Array>(
          () => process.stdin,
          (cause) => new InputFailed({ reason: cause instanceof Error ? cause.message : String(cause) })
        )
      ),
      isTerminal: process.stderr.isTTY === true,
      color: useColor(process.env, process.stderr.isTTY),
      colorsOutput: useColor(process.env, process.stdout.isTTY)
    })
  })
}

const outputError = (error: NodeJS.ErrnoException) =>
  error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED"
    ? new OutputClosed()
    : new OutputFailed({ reason: error.message })
