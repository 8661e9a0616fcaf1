/**
 * How a connection to a harness begins (`docs/HARNESS_PROTOCOL.md`): the host says a word and 32 characters that no connection before had,
 * and speaks HTTP/2 only when it has read them again. One byte stream may carry many connections (QEMU's serial port): what comes before
 * the echo was meant for an earlier one.
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import type { Duplex } from "node:stream"
import { broken, ChannelBroken } from "./GuestRequest.ts"

const word = "AEGIS/1 "
const helloLength = word.length + 32 + 1

/** The host's part. The stream is nobody's afterwards, and destroyed where this fails or is interrupted. */
export const greet = (stream: Duplex): Effect.Effect<void, ChannelBroken> =>
  Effect.suspend(() => {
    const hello = Buffer.from(`${word}${randomBytes(16).toString("hex")}\n`)
    stream.write(hello)
    return readUntil(stream, (seen) => {
      const at = seen.indexOf(hello)
      return at < 0 ? undefined : at + hello.length
    })
  })

/** A harness's part, for one that has the stream to itself. */
export const answerHello = (stream: Duplex): Effect.Effect<void, ChannelBroken> =>
  Effect.suspend(() => {
    let hello = Buffer.alloc(0)
    return readUntil(stream, (seen) => {
      hello = Buffer.from(seen.subarray(0, helloLength))
      return seen.length < helloLength ? undefined : helloLength
    }).pipe(Effect.zipRight(Effect.sync(() => void stream.write(hello))))
  })

/** Takes bytes until `end` finds, in the newest of them, the place up to which they are its own; the rest stays in the stream. */
const readUntil = (stream: Duplex, end: (seen: Buffer) => number | undefined): Effect.Effect<void, ChannelBroken> =>
  Effect.async<void, ChannelBroken>((resume) => {
    let seen = Buffer.alloc(0)
    const release = () => {
      stream.off("readable", look)
      gone.forEach((event) => stream.off(event, lost))
    }
    const lost = (error?: Error) => {
      release()
      stream.destroy()
      resume(broken(error ?? "the guest closed the channel"))
    }
    const gone = ["end", "close", "error"]
    const look = () => {
      for (let bytes = stream.read(); Buffer.isBuffer(bytes); bytes = stream.read()) {
        seen = Buffer.concat([seen, bytes])
        const at = end(seen)
        if (at !== undefined) {
          release()
          if (at < seen.length) stream.unshift(seen.subarray(at))
          return resume(Effect.void)
        }
        seen = seen.subarray(-helloLength)
      }
    }
    gone.forEach((event) => stream.on(event, lost))
    stream.on("readable", look)
    look()
    return Effect.sync(() => {
      release()
      stream.destroy()
    })
  })
