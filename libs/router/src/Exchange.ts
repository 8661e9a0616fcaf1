/**
 * One request through a tunnel of its own: its head and body to the guest, the answer back, each as it comes.
 */
import * as http from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { guestFailure, Interim, SilentGuest, writeHead, writeTrailers } from "./Answer.ts"
import { asPairs, endToEnd } from "./Headers.ts"
import { rawAnswer, type Refusal } from "./Refusal.ts"
import type { Route } from "./Routing.ts"

export interface ExchangeOptions {
  readonly route: Route
  readonly tunnel: Duplex
  /** The tunnel has carried a request before. */
  readonly reused: boolean
  /** Milliseconds until the answer's head must be there. */
  readonly patience: number
  /** The answer could not be begun. */
  readonly failed: (refusal: Refusal) => void
  /**
   * It is over. `whole`: the tunnel may carry another request. `stale`: the guest had closed a tunnel that was kept before it heard of
   * this request, which may be made again (RFC 9110 section 9.2.2).
   */
  readonly done: (end: ExchangeEnd) => void
}

export type ExchangeEnd = "whole" | "closed" | "stale"

/** The headers of a request as its guest gets them. */
export const headersFor = (request: http.IncomingMessage, { prefix }: Route): Array<string> => [
  ...endToEnd(request.rawHeaders, "request"),
  "X-Forwarded-For",
  request.socket.remoteAddress ?? "127.0.0.1",
  "X-Forwarded-Host",
  request.headers.host ?? "",
  "X-Forwarded-Proto",
  "http",
  ...(prefix === "" ? [] : ["X-Forwarded-Prefix", prefix]),
  "Via",
  "1.1 aegis"
]

/** How the body's length is told: the guest gets one way, whatever the client's spelling was. */
const framing = (request: http.IncomingMessage): Array<string> => {
  if (request.headers["transfer-encoding"] !== undefined) return ["Transfer-Encoding", "chunked"]
  const bodiless = ["GET", "HEAD", "OPTIONS", "DELETE"].includes(request.method ?? "")
  return request.headers["content-length"] === undefined && !bodiless ? ["Content-Length", "0"] : []
}

const begin = (
  request: http.IncomingMessage,
  { patience, route, tunnel }: ExchangeOptions,
  own: ReadonlyArray<string>
) => {
  const call = http.request({
    createConnection: () => tunnel,
    method: request.method ?? "GET",
    path: route.path,
    setHost: false,
    headers: [...headersFor(request, route), ...own]
  })
  const timer = setTimeout(() => call.destroy(new SilentGuest()), patience)
  call.once("close", () => clearTimeout(timer))
  call.once("response", () => clearTimeout(timer))
  call.once("upgrade", () => clearTimeout(timer))
  return call
}

/** An ordinary request, with a body or without. */
export const exchange = (request: http.IncomingMessage, response: http.ServerResponse, options: ExchangeOptions) => {
  const call = begin(request, options, framing(request))
  const interim = new Interim(response)
  call.on("continue", () => response.writeContinue())
  call.on("information", ({ rawHeaders, statusCode }) => {
    if (interim.isTooMany(statusCode, rawHeaders)) call.destroy(new Error("too many interim answers"))
  })
  call.on("error", (error) => {
    if (response.headersSent) response.destroy()
    else options.failed(guestFailure(error))
    options.done("closed")
  })
  call.on("upgrade", () => {
    options.failed(guestFailure(new Error("it changes the protocol without being asked")))
    options.done("closed")
  })
  call.on("response", (answer) => relay(answer, response, options))
  request.on("end", () => {
    const trailers = endToEnd(request.rawTrailers, "request")
    if (trailers.length > 0 && !call.writableEnded) call.addTrailers(asPairs(trailers))
  })
  request.pipe(call)
  request.on("error", () => call.destroy())
  response.on("close", () => options.done("closed"))
}

const relay = (answer: http.IncomingMessage, response: http.ServerResponse, { done, failed }: ExchangeOptions) => {
  const { rawHeaders, statusCode: status = 502, statusMessage: text = "" } = answer
  try {
    writeHead(response, { status, text, rawHeaders })
  } catch (error) {
    failed(guestFailure(error))
    return done("closed")
  }
  // Who waits for the first event of a stream must not wait for its first kilobyte; a body that is there already goes with the head.
  setImmediate(() => response.flushHeaders())
  answer.on("end", () => writeTrailers(response, answer.rawTrailers))
  answer.pipe(response)
  // What was cut off must not look like a whole answer.
  answer.on("error", () => response.destroy())
}

/** A request to change the protocol: two streams, once the guest has said so with 101, and an ordinary answer where it has not. */
export const upgrade = (request: http.IncomingMessage, socket: Socket, head: Buffer, options: ExchangeOptions) => {
  const { tunnel } = options
  const protocol = request.headers.upgrade ?? ""
  const call = begin(request, options, ["Connection", "Upgrade", "Upgrade", protocol])
  call.on("error", (error) => {
    socket.end(rawAnswer(guestFailure(error), request))
    options.done("closed")
  })
  call.on("response", (answer) => {
    const response = new http.ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.on("finish", () => socket.end())
    response.on("close", () => options.done("closed"))
    relay(answer, response, options)
  })
  call.on("upgrade", (answer, stream, first) => {
    const lines = asPairs(endToEnd(answer.rawHeaders, "response")).map(([name, value]) => `${name}: ${value}\r\n`)
    const chosen = answer.headers.upgrade ?? protocol
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}Connection: Upgrade\r\nUpgrade: ${chosen}\r\n\r\n`,
      "latin1"
    )
    if (first.length > 0) socket.write(first)
    if (head.length > 0) stream.write(head)
    join(socket, stream, () => options.done("closed"))
  })
  socket.on("close", () => {
    tunnel.destroy()
    options.done("closed")
  })
  call.end()
}

/** Two connections as one: either half ends alone, a reset of one is a reset of the other. */
export const join = (socket: Socket, stream: Duplex, done: () => void) => {
  socket.pipe(stream)
  stream.pipe(socket)
  let open = 2
  const closed = () => {
    open -= 1
    if (open === 0) done()
  }
  stream.on("error", () => socket.resetAndDestroy())
  socket.on("error", () => stream.destroy())
  socket.on("close", () => {
    if (!socket.readableEnded || !stream.readableEnded) stream.destroy()
    closed()
  })
  stream.on("close", () => {
    if (!stream.readableEnded) socket.resetAndDestroy()
    closed()
  })
}
