/**
 * One request over `node:http` and its answer, read without leaving garbage: the bytes of a layer would fill the memory before any
 * collection of the heap begins, since V8 lets 64 MiB of them gather.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import * as https from "node:https"
import type { Readable } from "node:stream"
import { MessageChannel } from "node:worker_threads"
import { type Agents, readBytes } from "./Agents.ts"

export interface Request {
  readonly url: URL
  readonly headers: http.OutgoingHttpHeaders
  /** Makes it a POST. */
  readonly body: string | undefined
}

/** Sends a request and gives its answer, headers first. The scope's end closes the connection when the answer is not read. */
export const exchange = (
  agents: Agents,
  { body, headers, url }: Request
): Effect.Effect<http.IncomingMessage, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const method = body === undefined ? "GET" : "POST"
      const request =
        url.protocol === "https:"
          ? https.request(url, { agent: agents.https, method, headers })
          : http.request(url, { agent: agents.http, method, headers })
      // Also after the answer: what is wrong then, its body tells.
      return request.on("error", () => undefined)
    }),
    (request) => Effect.sync(() => request.destroy())
  ).pipe(
    Effect.flatMap((request) =>
      Effect.async<http.IncomingMessage, Error>((resume) => {
        request.once("error", (error) => resume(Effect.fail(error)))
        request.once("response", (response) => resume(Effect.succeed(response)))
        request.end(body)
      })
    )
  )

/** The most that is given at once. */
const pieceBytes = 512 * 1024

/** From here on no more is asked for: what is read at once might not fit. */
const fullBytes = pieceBytes - readBytes

/**
 * An answer's body, whatever has come in one piece. A piece holds until the next is asked for: its memory is used again. Ends at the
 * body's end, fails where it is broken off, and makes the sender wait while its reader does not ask.
 */
export const bodyOf = (response: Readable): Stream.Stream<Uint8Array, Error> =>
  Stream.unwrap(
    Effect.sync(() => {
      const gathered = gather(response)
      return Stream.repeatEffectOption(
        Effect.async<Uint8Array, Option.Option<Error>>((resume) => {
          gathered.next((piece, error) => {
            if (piece !== undefined) resume(Effect.succeed(piece))
            else resume(Effect.fail(Option.fromNullable(error)))
          })
          return Effect.sync(gathered.cancel)
        })
      )
    })
  )

type Reader = (piece: Uint8Array | undefined, error: Error | undefined) => void

/** Copies what comes into one of two buffers, while the reader has the other. */
const gather = (source: Readable) => {
  let [filling, given] = [Buffer.allocUnsafeSlow(pieceBytes), Buffer.allocUnsafeSlow(pieceBytes)]
  let length = 0
  // What did not fit all the same. Nothing more comes while the source is paused.
  let rest: Buffer | undefined
  let end: { readonly error: Error | undefined } | undefined
  let reader: Reader | undefined
  let isDue = false

  const take = (bytes: Buffer) => {
    const fits = bytes.copy(filling, length)
    length += fits
    rest = fits < bytes.length ? bytes.subarray(fits) : undefined
    if (length >= fullBytes) source.pause()
    if (rest === undefined) free(bytes)
  }
  const give = () => {
    isDue = false
    if (reader === undefined) return
    const to = reader
    reader = undefined
    if (length === 0) return to(undefined, end?.error)
    ;[filling, given] = [given, filling]
    const piece = given.subarray(0, length)
    length = 0
    if (rest !== undefined) take(rest)
    if (length < fullBytes) source.resume()
    to(piece, undefined)
  }
  // All that one turn of the event loop brings goes in one piece.
  const hurry = () => {
    if (isDue || reader === undefined || (length === 0 && end === undefined)) return
    isDue = true
    setImmediate(give)
  }
  const ended = (error?: Error) => {
    end ??= { error }
    hurry()
  }
  source.on("data", (bytes: Buffer) => {
    take(bytes)
    hurry()
  })
  source.once("end", () => ended())
  source.on("error", ended)
  const broken = () => ended(new Error("the answer was broken off"))
  source.once("close", broken)
  if (source.destroyed) broken()
  return {
    next: (to: Reader) => {
      reader = to
      hurry()
    },
    cancel: () => {
      reader = undefined
    }
  }
}

/** A port to nowhere. */
const nowhere = new MessageChannel().port1
nowhere.close()

/**
 * Gives the memory of bytes back at once: sending moves it into a message, which is dropped since nobody is there to get it (HTML,
 * "message port post message steps"). Bytes that are a part of something larger stay.
 */
const free = ({ buffer, byteLength }: Buffer): void => {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) nowhere.postMessage(undefined, [buffer])
}
