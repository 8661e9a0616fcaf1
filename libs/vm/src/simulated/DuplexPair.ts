import { Duplex } from "node:stream"

/** Two ends of one in-memory byte stream, with back-pressure: what is written to one is read from the other. */
export const duplexPair = (): readonly [Duplex, Duplex] => {
  const ends: Array<End> = [new End(), new End()]
  const [a, b] = ends as [End, End]
  a.other = b
  b.other = a
  return [a, b]
}

class End extends Duplex {
  other: End | undefined
  #resume: (() => void) | undefined

  override _read() {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void) {
    if (this.other === undefined || this.other.destroyed) return done()
    if (this.other.push(chunk)) done()
    else this.other.#resume = done
  }

  override _final(done: () => void) {
    this.other?.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void) {
    const other = this.other
    if (other !== undefined && !other.destroyed) process.nextTick(() => other.destroy())
    done(error)
  }
}
