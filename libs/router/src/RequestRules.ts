/**
 * What a request must be before anything is woken for it: one reading of its length and target, a host that is ours, and an origin
 * that may (E9, T-151 to T-162).
 */
import type { IncomingMessage } from "node:http"
import { type Refusal, refusal } from "./Refusal.ts"

/** What the rules need to know of the listener that a request came through. */
export interface Listener {
  readonly port: number
  /** Origins of other places that may send more than safe requests. */
  readonly origins: ReadonlySet<string>
}

const maxHeaders = 200
const maxTarget = 8192
const safeMethods = new Set(["GET", "HEAD", "OPTIONS"])

/** The values of a header, as often as it is there: Node joins or drops what comes twice. */
export const valuesOf = ({ rawHeaders }: Pick<IncomingMessage, "rawHeaders">, name: string): ReadonlyArray<string> =>
  rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)

const bad = (message: string) => refusal(400, "InvalidRequest", message, "send a request as RFC 9112 has it")

/** What is wrong with a request, if anything is. Looks at its head alone. */
export const offence = (request: IncomingMessage, listener: Listener): Refusal | undefined =>
  framing(request) ?? target(request) ?? host(request, listener) ?? origin(request, listener)

const framing = (request: IncomingMessage): Refusal | undefined => {
  if (request.rawHeaders.length / 2 > maxHeaders) {
    return refusal(431, "HeadersTooLarge", `more than ${maxHeaders} headers`, "send fewer headers")
  }
  const { httpVersion } = request
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return bad(`HTTP/${httpVersion} is not served here`)
  const codings = valuesOf(request, "transfer-encoding")
  const lengths = valuesOf(request, "content-length")
  if (lengths.length > 1) return bad("Content-Length is there twice")
  if (codings.length === 0) return undefined
  if (codings.length > 1 || codings[0]?.toLowerCase() !== "chunked")
    return bad("Transfer-Encoding is not chunked alone")
  if (lengths.length > 0) return bad("Transfer-Encoding and Content-Length exclude each other")
  return httpVersion === "1.0" ? bad("HTTP/1.0 has no Transfer-Encoding") : undefined
}

const target = ({ method = "", url = "" }: IncomingMessage): Refusal | undefined => {
  if (url.length > maxTarget) return refusal(414, "UriTooLong", `a target of ${url.length} bytes`, "send a shorter one")
  if (method === "TRACE" || method === "CONNECT") {
    return refusal(405, "MethodNotAllowed", `${method} is not served here`, "use another method")
  }
  return /^\/[\x21\x22\x24-\x7e]*$/.test(url) ? undefined : bad("the target is not a path of printable characters")
}

const host = (request: IncomingMessage, { port }: Listener): Refusal | undefined => {
  const hosts = valuesOf(request, "host")
  if (hosts.length !== 1) return bad(hosts.length === 0 ? "Host is missing" : "Host is there twice")
  return isOurs(hosts[0] ?? "", port)
    ? undefined
    : refusal(
        421,
        "HostRefused",
        "this host name is not served here",
        `use http://127.0.0.1:${port}, localhost, or NAME.localhost in its place`
      )
}

/** Names of this machine that no foreign DNS server can make lead here, in their one spelling, with our port (T-153). */
const isOurs = (text: string, port: number) => {
  const name = text.endsWith(`:${port}`) ? text.slice(0, -`:${port}`.length) : port === 80 ? text : ""
  return name === "127.0.0.1" || name === "[::1]" || name === "localhost" || nameOfHost(name) !== undefined
}

/** `web` of `web.localhost`, or of `web.localhost:8099`. */
export const nameOfHost = (text: string): string | undefined =>
  /^([a-z0-9][a-z0-9._-]{0,127})\.localhost(?::[0-9]+)?$/.exec(text)?.[1]

const origin = (request: IncomingMessage, { origins }: Listener): Refusal | undefined => {
  const upgrade = request.headers.upgrade !== undefined
  if (safeMethods.has(request.method ?? "") && !upgrade) return undefined
  const given = valuesOf(request, "origin")
  const foreign = given.length > 1 || (given[0] !== undefined && !isKnown(given[0], request, origins))
  const crossSite = given.length === 0 && valuesOf(request, "sec-fetch-site").some((site) => site === "cross-site")
  return foreign || crossSite
    ? refusal(
        403,
        "OriginRefused",
        "a page of another origin may not send this",
        "aegisd allows the origins that AEGIS_ROUTER_ORIGINS names"
      )
    : undefined
}

const isKnown = (origin: string, request: IncomingMessage, origins: ReadonlySet<string>) =>
  origin === `http://${request.headers.host}` || origins.has(origin)

/**
 * Whether a browser says that a page of another origin asked for this in the background, so that nothing is woken for it (T-170 to
 * T-173): a picture, a frame, a fetch. Where a person goes to the page itself, it is theirs. Programs that are no browsers say none of it.
 */
export const isBackgroundOfAnotherOrigin = (request: IncomingMessage, { origins }: Listener): boolean => {
  const site = request.headers["sec-fetch-site"]
  const [origin = refererOf(request)] = valuesOf(request, "origin")
  if (origin !== undefined && isKnown(origin, request, origins)) return false
  const visits = request.headers["sec-fetch-mode"] === "navigate" && request.headers["sec-fetch-dest"] === "document"
  // Another port or another guest's name is another origin, of the same site or not.
  return !visits && (request.headers.origin !== undefined || site === "cross-site" || site === "same-site")
}

/** The origin of the page that a request without `Origin` comes from; a page can hide it and not change it. */
const refererOf = ({ headers: { referer = "" } }: IncomingMessage): string | undefined =>
  URL.canParse(referer) ? new URL(referer).origin : undefined

/** What asks for another protocol in a way that nobody can grant (T-159, T-161). */
export const unfitUpgrade = (request: IncomingMessage): Refusal | undefined => {
  const protocol = (request.headers.upgrade ?? "").toLowerCase()
  const bad = (message: string) => refusal(400, "InvalidRequest", message, "send a request as RFC 9110 has it")
  if (request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined) {
    return bad("a request to change the protocol has no body here")
  }
  if (!/^[\x21-\x7e]+$/.test(protocol)) return bad("Upgrade names no protocol, or several")
  if (protocol === "h2c") return bad("h2c is not served here")
  return protocol === "websocket" && request.headers["sec-websocket-key"] === undefined
    ? bad("Sec-WebSocket-Key is missing")
    : undefined
}
