/**
 * The host's end of a `CONNECT` stream: a connection to a port of the guest's loopback, as any other duplex stream.
 */
import type * as http2 from "node:http2"
import { Duplex } from "node:stream"

const headerBytes = 4
/** The largest block that a harness sends. */
const maxBlockBytes = 65_536

/**
 * Bytes up are the request's body as they are; bytes down come in blocks, of which an empty one is the end (`docs/HARNESS_PROTOCOL.md`).
 * Either half ends alone. What is cut off ends with an error; `destroy` resets the connection inside the guest.
 */
export class Tunnel extends Duplex {
  readonly #stream: http2.ClientHttp2Stream
  /** The header of a block whose first bytes have come. */
  #header: Buffer = Buffer.alloc(0)
  #left = 0
  #ended = false

  constructor(stream: http2.ClientHttp2Stream) {
    super({ allowHalfOpen: true, emitClose: true })
    this.#stream = stream
    // Whoever uses it hears of its errors; between two owners one must not end the process.
    this.on("error", () => undefined)
    stream.on("data", (bytes: Buffer) => this.#take(bytes))
    stream.on("error", () => undefined)
    stream.on("close", () => {
      if (!this.#ended) this.destroy(cutOff())
    })
    stream.pause()
  }

  #take(bytes: Buffer) {
    let wanted = true
    let offset = 0
    while (offset < bytes.length) {
      if (this.#ended) return void this.destroy(new Error("the guest broke the protocol: bytes behind a tunnel's end"))
      if (this.#left === 0) {
        const piece = bytes.subarray(offset, offset + headerBytes - this.#header.length)
        offset += piece.length
        this.#header = this.#header.length === 0 ? piece : Buffer.concat([this.#header, piece])
        if (this.#header.length < headerBytes) break
        this.#left = this.#header.readUInt32BE(0)
        this.#header = this.#header.subarray(0, 0)
        if (this.#left > maxBlockBytes) {
          return void this.destroy(new Error(`the guest broke the protocol: a block of ${this.#left} bytes`))
        }
        if (this.#left === 0) {
          this.#ended = true
          this.push(null)
        }
        continue
      }
      const piece = bytes.subarray(offset, offset + this.#left)
      offset += piece.length
      this.#left -= piece.length
      wanted = this.push(piece)
    }
    if (!wanted) this.#stream.pause()
  }

  override _read() {
    this.#stream.resume()
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void) {
    // Whoever has said all it had to say and is gone hears no more: its words are worth more than this failure.
    if (this.#stream.destroyed) return done(this.#ended ? null : cutOff())
    this.#stream.write(bytes, (error) => done(error && !this.#ended ? cutOff() : null))
  }

  override _final(done: (error?: Error | null) => void) {
    if (this.#stream.destroyed) return done()
    this.#stream.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void) {
    const over = this.#ended && this.writableFinished
    if (over) this.#stream.resume()
    else if (!this.#stream.closed) this.#stream.close(cancel)
    done(error)
  }
}

/** RFC 9113 section 7. */
const cancel = 0x8

const cutOff = () => Object.assign(new Error("the connection to the guest was cut off"), { code: "ECONNRESET" })
