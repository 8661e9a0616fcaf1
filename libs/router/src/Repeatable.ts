/**
 * Requests that can be made again, which go one after the other over a tunnel that is kept. undici's client takes a third of the time
 * that Node's own does; it has no way for request trailers, `Expect` and changes of the protocol: those requests go by `Exchange.ts`.
 */
import type * as http from "node:http"
import type { Duplex } from "node:stream"
import type { Dispatcher } from "undici"
import Client from "undici/lib/dispatcher/client.js"
import { guestFailure, Interim, SilentGuest, writeHead, writeTrailers } from "./Answer.ts"
import { type ExchangeEnd, type ExchangeOptions, headersFor } from "./Exchange.ts"

/** Whether a request can be made once more as it is: it changes nothing, and nothing of it has to be read again. */
export const isRepeatable = ({ headers, method = "" }: http.IncomingMessage): boolean =>
  methods.has(method) &&
  headers.upgrade === undefined &&
  headers["content-length"] === undefined &&
  headers["transfer-encoding"] === undefined &&
  headers.expect === undefined

const methods = new Set(["GET", "HEAD", "OPTIONS"])

const clients = new WeakMap<Duplex, Client>()

/** The client of a tunnel, the same as long as there is the tunnel. */
const clientOf = (tunnel: Duplex): Client => {
  const known = clients.get(tunnel)
  if (known !== undefined) return known
  const client = new Client("http://guest", {
    connect: (_, callback) =>
      queueMicrotask(() =>
        tunnel.destroyed ? callback(new Error("the guest closed the connection")) : callback(null, tunnel)
      ),
    pipelining: 1
  })
  clients.set(tunnel, client)
  return client
}

const textOf = (headers: Dispatcher.DispatchController["rawHeaders"]): ReadonlyArray<string> =>
  Array.isArray(headers) ? headers.map((one) => (typeof one === "string" ? one : one.toString("latin1"))) : []

const isSilence = (error: Error) => "code" in error && error.code === "UND_ERR_HEADERS_TIMEOUT"

/** A request without a body, over a tunnel that carries nothing else. Its `done` is called once. */
export const exchangeRepeatable = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { done, failed, patience, reused, route, tunnel }: ExchangeOptions
) => {
  const interim = new Interim(response)
  let over = false
  const end = (how: ExchangeEnd) => {
    if (over) return
    over = true
    done(how)
  }
  // Both sides have to be at their end. What spoils the tunnel just behind the answer has shown by the next tick.
  let open = 2
  const closed = () => {
    open -= 1
    if (open === 0) process.nextTick(() => end(tunnel.destroyed ? "closed" : "whole"))
  }
  response.on("close", () => {
    if (!response.writableFinished) tunnel.destroy()
    closed()
  })
  clientOf(tunnel).dispatch(
    {
      method: request.method ?? "GET",
      path: route.path,
      headers: headersFor(request, route),
      headersTimeout: patience,
      bodyTimeout: 0
    },
    {
      onRequestStart: () => undefined,
      onResponseStart: (controller, status, _, text = "") => {
        const rawHeaders = textOf(controller.rawHeaders)
        if (status < 200) {
          if (interim.isTooMany(status, rawHeaders)) controller.abort(new Error("too many interim answers"))
          return
        }
        writeHead(response, { status, text, rawHeaders })
        // Who waits for the first event of a stream must not wait for its first kilobyte; what has come with the head goes with it.
        process.nextTick(() => response.flushHeaders())
      },
      onResponseData: (controller, bytes) => {
        if (response.write(bytes)) return
        controller.pause()
        response.once("drain", () => controller.resume())
      },
      onResponseEnd: (controller) => {
        writeTrailers(response, textOf(controller.rawTrailers))
        response.end()
        closed()
      },
      onResponseError: (_, error) => {
        const untouched = !interim.any && !response.headersSent && !response.destroyed
        if (reused && untouched && !isSilence(error)) return end("stale")
        if (response.headersSent) response.destroy()
        else failed(guestFailure(isSilence(error) ? new SilentGuest() : error))
        end("closed")
      }
    }
  )
}
