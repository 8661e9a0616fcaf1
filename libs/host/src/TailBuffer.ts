/** The last bytes of a stream that may be endless: at most `limit` are kept. */
export class TailBuffer {
  readonly #limit: number
  #chunks: Array<Uint8Array> = []
  #size = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes)
    this.#size += bytes.length
    if (this.#size > 2 * this.#limit) {
      this.#chunks = [this.#tail()]
      this.#size = this.#chunks[0]?.length ?? 0
    }
  }

  /** What is kept, as text; bytes that are not UTF-8 show as U+FFFD. */
  text(): string {
    return this.#tail().toString("utf8")
  }

  #tail(): Buffer {
    const all = Buffer.concat(this.#chunks)
    return Buffer.from(all.subarray(Math.max(0, all.length - this.#limit)))
  }
}
