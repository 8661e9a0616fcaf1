/**
 * What a client says before its tunnel is there: it goes with the request for the tunnel, which spares a way to the guest and back.
 */
import type { Readable } from "node:stream"

/** What is kept until the tunnel is there; the client waits with the rest. */
const limit = 64 * 1024

export class EarlyBytes {
  readonly #client: Readable
  readonly #said: Array<Buffer> = []
  #size = 0
  #pass: ((bytes: Buffer) => void) | undefined
  #listens = false

  /** @param client nobody reads it yet. */
  constructor(client: Readable) {
    this.#client = client
  }

  readonly #take = (bytes: Buffer): void => {
    this.#said.push(bytes)
    this.#size += bytes.length
    if (this.#size >= limit) this.#client.pause()
    this.#pass?.(bytes)
  }

  /** Passes on all that the client has said and says, also what was passed on before: that request was refused. */
  passTo(pass: (bytes: Buffer) => void): void {
    for (const bytes of this.#said) pass(bytes)
    this.#pass = pass
    if (this.#listens) return
    this.#listens = true
    this.#client.on("data", this.#take)
  }

  /** Something was passed on: a guest that has not answered may have heard it all the same. */
  get hasPassed(): boolean {
    return this.#said.length > 0
  }

  /** The tunnel is there: what the client says from now on is for whoever reads it next. */
  end(): void {
    this.#client.off("data", this.#take)
    this.#client.pause()
    this.#pass = undefined
    this.#said.length = 0
  }
}
