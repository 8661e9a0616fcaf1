/**
 * The ports of a scripted guest: what `CONNECT` reaches (`docs/HARNESS_PROTOCOL.md`).
 */
import type * as http2 from "node:http2"
import type { Duplex } from "node:stream"
import { duplexPair } from "./DuplexPair.ts"

export class SimulatedPorts {
  readonly #listening = new Map<number, (connection: Duplex) => void>()

  listen(port: number, serve: (connection: Duplex) => void) {
    this.#listening.set(port, serve)
  }

  /** Answers with a tunnel; says nothing and gives false where nobody listens. */
  connect(stream: http2.ServerHttp2Stream, authority: string): boolean {
    const serve = this.#listening.get(Number(authority.replace("127.0.0.1:", "")))
    if (serve === undefined) return false
    const [near, far] = duplexPair()
    stream.respond({ ":status": 200 })
    near.on("data", (bytes: Buffer) => {
      if (!stream.write(Buffer.concat([length(bytes.length), bytes]))) near.pause()
    })
    stream.on("drain", () => near.resume())
    near.on("end", () => {
      stream.write(length(0))
      if (stream.readableEnded) stream.end()
    })
    stream.on("end", () => {
      if (near.readableEnded) stream.end()
    })
    stream.pipe(near)
    stream.on("close", () => near.destroy())
    near.on("close", () => stream.close())
    near.on("error", () => undefined)
    serve(far)
    return true
  }
}

const length = (bytes: number) => {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(bytes)
  return header
}
