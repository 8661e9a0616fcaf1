/**
 * A command in a guest, for programs that await promises: its output as it comes, its standard input, its end.
 */
import type { EndReason, ExecId, InstanceId, Output, TerminalSize } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Aegis } from "../Aegis.ts"
import type { Abortable, Bridge } from "./Bridge.ts"
import type { Session } from "./Session.ts"

/** Everything that a command has said, and how it ended. */
export interface Finished {
  readonly reason: EndReason
  /** Its own exit code; 128 + N where signal N ended it; undefined where its machine was stopped or lost. */
  readonly exitCode: number | undefined
  /** As UTF-8. */
  readonly stdout: string
  readonly stderr: string
}

type Input = (bytes: Uint8Array, end: boolean) => Effect.Effect<void, unknown, Aegis>

abstract class GuestCommand<Id extends string> implements AsyncDisposable {
  readonly id: Id
  /**
   * What it prints, as bytes, piece by piece; each piece is given once. A command whose output nobody takes is held up when some
   * hundred KiB wait.
   */
  readonly output: AsyncIterable<Output>
  readonly #bridge: Bridge<Aegis>
  readonly #session: Session<Id, unknown>
  readonly #input: Input

  constructor(bridge: Bridge<Aegis>, session: Session<Id, unknown>, input: Input) {
    this.id = session.id
    this.#bridge = bridge
    this.#session = session
    this.#input = input
    this.output = bridge.iterable(session.output)
  }

  /** Feeds its standard input, where it was asked for with `interactive`; text as UTF-8. Await each call before the next. */
  write(data: Uint8Array | string, options?: Abortable): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data
    return this.#bridge.promise(this.#input(bytes, false), options)
  }

  /** Closes its standard input. */
  end(options?: Abortable): Promise<void> {
    return this.#bridge.promise(this.#input(new Uint8Array(), true), options)
  }

  /** How it ended. Comes when its output has been taken: by `output`, or by `result`. */
  wait(options?: Abortable): Promise<EndReason> {
    return this.#bridge.promise(this.#session.ended, options)
  }

  /** Waits for its end and gives all of its output that has not been taken; for what is larger than memory, read `output`. */
  result(options?: Abortable): Promise<Finished> {
    const { ended, output } = this.#session
    return this.#bridge.promise(
      Effect.gen(function* () {
        const pieces = Chunk.toReadonlyArray(yield* Stream.runCollect(output))
        const reason = yield* ended
        const text = (stream: Output["stream"]) =>
          Buffer.concat(pieces.filter((piece) => piece.stream === stream).map(({ bytes }) => bytes)).toString()
        return { reason, exitCode: exitCode(reason), stdout: text("stdout"), stderr: text("stderr") }
      }),
      options
    )
  }

  /** Ends it, if it has not ended. */
  close(): Promise<void> {
    return this.#bridge.promise(this.#session.close)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const exitCode = (reason: EndReason) => {
  if (reason._tag === "Exited") return reason.code
  return reason._tag === "Signaled" ? 128 + reason.signal : undefined
}

/** An instance that lives as long as its command and this object: `close` removes every trace of it. */
export class Sandbox extends GuestCommand<InstanceId> {
  constructor(bridge: Bridge<Aegis>, session: Session<InstanceId, unknown>) {
    super(bridge, session, (bytes, end) => Effect.flatMap(Aegis, (aegis) => aegis.writeStdin(session.id, bytes, end)))
  }
}

/** A command beside an instance's own. */
export class Exec extends GuestCommand<ExecId> {
  readonly #bridge: Bridge<Aegis>

  constructor(bridge: Bridge<Aegis>, session: Session<ExecId, unknown>) {
    super(bridge, session, (bytes, end) => Effect.flatMap(Aegis, (aegis) => aegis.writeExec(session.id, bytes, end)))
    this.#bridge = bridge
  }

  /** Tells its terminal its size in characters. */
  resize(size: TerminalSize, options?: Abortable): Promise<void> {
    return this.#bridge.promise(
      Effect.flatMap(Aegis, (aegis) => aegis.resizeExec(this.id, size)),
      options
    )
  }

  /** Sends it a signal by its number on Linux, such as 2 for SIGINT. */
  kill(signal: number, options?: Abortable): Promise<void> {
    return this.#bridge.promise(
      Effect.flatMap(Aegis, (aegis) => aegis.signalExec(this.id, signal)),
      options
    )
  }
}
