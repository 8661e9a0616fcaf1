/**
 * What a body has to be before it is decoded: JSON in UTF-8 (RFC 8259), whole, in time, and neither too large nor too deep (T-21 to T-28).
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { problem, type Problem } from "./Problem.ts"

const maxBytes = 10 * 1024 * 1024

/** Arrays and objects in each other: what goes down into a value recursively must not overflow its stack. */
const maxDepth = 64

const usualPatience = Duration.seconds(30)

/** The rest of a body that is not read would be taken for the next request. */
const close = { connection: "close" }

const tooLarge: Problem = {
  status: 413,
  code: "BodyTooLarge",
  error: `the body is larger than ${maxBytes} bytes`,
  remedy: "send less at once",
  headers: close
}

const tooSlow = (patience: Duration.Duration): Problem => ({
  status: 408,
  code: "RequestTimeout",
  error: `the body was not here after ${Duration.toSeconds(patience)} s`,
  remedy: "send it in one piece, with the length that its Content-Length says",
  headers: close
})

const unsupported = (error: string): Problem => ({
  status: 415,
  code: "UnsupportedMediaType",
  error,
  remedy: "send JSON in UTF-8, not compressed, with Content-Type: application/json",
  headers: close
})

const invalid = (error: string): Problem => ({
  status: 400,
  code: "InvalidJson",
  error,
  remedy: "the body is one JSON object; GET /v1/openapi.json describes all"
})

/** Reads and checks each request's body before its route sees it. */
export const withJsonBody = <E, R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  patience = usualPatience
) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!hasBody(request)) return yield* handler
    const text = yield* Effect.either(readText(request, patience))
    if (Either.isLeft(text)) return problem(text.left)
    // The body is read: what the route sees is the same request with the text of it.
    const { headers, method, url } = request
    const read = new Request(`http://localhost${url}`, { method, headers, body: text.right })
    return yield* Effect.provideService(handler, HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(read))
  })

const hasBody = ({ headers, method }: HttpServerRequest.HttpServerRequest) =>
  method !== "GET" &&
  method !== "HEAD" &&
  (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0)

const readText = (
  request: HttpServerRequest.HttpServerRequest,
  patience: Duration.Duration
): Effect.Effect<string, Problem> =>
  Effect.gen(function* () {
    const unfit = unfitHeaders(request.headers)
    if (unfit !== undefined) return yield* Effect.fail(unfit)
    const bytes = yield* readBytes(request).pipe(
      Effect.timeoutFail({ duration: patience, onTimeout: () => tooSlow(patience) })
    )
    const text = yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
      catch: () => invalid("the body is not UTF-8")
    })
    if (depthOf(text) > maxDepth) return yield* Effect.fail(invalid(`the body is nested deeper than ${maxDepth}`))
    const value = yield* Effect.try({
      try: (): unknown => JSON.parse(text),
      // V8's own words would quote the body, which may hold a secret.
      catch: () => invalid("the body is not JSON")
    })
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return yield* Effect.fail(invalid("the body is not a JSON object"))
    }
    return text
  })

const unfitHeaders = (headers: HttpServerRequest.HttpServerRequest["headers"]): Problem | undefined => {
  if (Number(headers["content-length"] ?? 0) > maxBytes) return tooLarge
  const encoding = headers["content-encoding"] ?? "identity"
  if (encoding.toLowerCase() !== "identity") return unsupported(`the body is encoded as ${encoding}`)
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";")
  if (type.trim() !== "application/json") return unsupported("the body's Content-Type is not application/json")
  const charset = parameters.map((one) => one.trim()).find((one) => one.startsWith("charset="))
  return charset === undefined || /^charset="?utf-8"?$/.test(charset)
    ? undefined
    : unsupported(`the body's ${charset} is not UTF-8`)
}

const readBytes = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Uint8Array, Problem> =>
  NodeStream.fromReadable<Problem, Uint8Array>(
    () => NodeHttpServerRequest.toIncomingMessage(request),
    () => tooLarge,
    // Its connection still has the answer to carry.
    { closeOnDone: false }
  ).pipe(
    Stream.runFoldEffect({ parts: new Array<Uint8Array>(), length: 0 }, (read, part) => {
      read.parts.push(part)
      const length = read.length + part.length
      return length > maxBytes ? Effect.fail(tooLarge) : Effect.succeed({ parts: read.parts, length })
    }),
    Effect.map(({ parts }) => Buffer.concat(parts))
  )

/** How deep arrays and objects are in each other, as far as this is JSON. */
const depthOf = (text: string): number => {
  let [depth, deepest, inString] = [0, 0, false]
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (inString) {
      if (character === "\\") at++
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth)
    else if (character === "}" || character === "]") depth--
  }
  return deepest
}
