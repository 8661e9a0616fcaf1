import type { ExitEvent } from "@aegis/guest"
import * as Effect from "effect/Effect"
import type { ServerHttp2Stream } from "node:http2"

const capacity = 1024 * 1024
const maxPayload = 65_536

/** The harness's ring of events: bounded, acknowledged, re-read from any number; the writer waits while it is full. */
export class EventRing {
  readonly #frames: Array<{ readonly seq: bigint; readonly bytes: Buffer }> = []
  #held = 0
  #next = 1n
  #reader: ServerHttp2Stream | undefined
  #sent = 0n
  #waiting: Array<() => void> = []

  write(stream: "stdout" | "stderr", bytes: Uint8Array): Effect.Effect<void> {
    const pieces = Array.from({ length: Math.ceil(bytes.length / maxPayload) }, (_, i) =>
      bytes.subarray(i * maxPayload, (i + 1) * maxPayload)
    )
    return Effect.forEach(
      pieces,
      (piece) =>
        Effect.zipRight(
          this.#below(capacity - piece.length),
          Effect.sync(() => this.#add(stream === "stdout" ? 1 : 2, piece))
        ),
      { discard: true }
    )
  }

  end(event: ExitEvent) {
    this.#add(3, Buffer.from(JSON.stringify(event)))
  }

  garble(bytes: Uint8Array) {
    this.#frames.push({ seq: this.#next, bytes: Buffer.from(bytes) })
    this.#next += 1n
    this.#send()
  }

  /** Everything has been acknowledged. */
  get drained(): Effect.Effect<void> {
    return this.#below(0)
  }

  serve(stream: ServerHttp2Stream, after: bigint) {
    this.#reader?.close()
    this.#reader = stream
    this.#sent = after
    stream.respond({ ":status": 200 })
    let pending = Buffer.alloc(0)
    stream.on("data", (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes])
      for (; pending.length >= 8; pending = pending.subarray(8)) this.#forget(pending.readBigUInt64BE(0))
    })
    this.#send()
  }

  #below(limit: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = () => {
        if (this.#held <= Math.max(limit, 0)) resume(Effect.void)
        else this.#waiting.push(look)
      }
      look()
    })
  }

  #add(type: 1 | 2 | 3, payload: Uint8Array) {
    const header = Buffer.alloc(16)
    header.writeUInt32BE(payload.length, 0)
    header[4] = type
    header.writeBigUInt64BE(this.#next, 8)
    this.#frames.push({ seq: this.#next, bytes: Buffer.concat([header, payload]) })
    this.#held += payload.length
    this.#next += 1n
    this.#send()
  }

  #send() {
    for (const { bytes, seq } of this.#frames) {
      if (seq <= this.#sent || this.#reader === undefined || this.#reader.destroyed) continue
      this.#reader.write(bytes)
      this.#sent = seq
    }
  }

  #forget(upTo: bigint) {
    while (this.#frames[0] !== undefined && this.#frames[0].seq <= upTo) {
      this.#held -= (this.#frames.shift()?.bytes.length ?? 16) - 16
    }
    for (const look of this.#waiting.splice(0)) look()
  }
}
