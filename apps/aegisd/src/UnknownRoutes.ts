/**
 * What is no route of ours: 404, or 405 with the methods that there are (RFC 9110, 15.5.6), as JSON (T-37, T-38).
 */
import { rpcPath } from "@aegis/contract"
import { RestApi } from "@aegis/contract/rest"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { problem } from "./Problem.ts"

interface Known {
  readonly pattern: RegExp
  readonly method: string
}

const known = (): ReadonlyArray<Known> => {
  const found: Array<Known> = [
    { pattern: /^\/v1\/openapi\.json$/, method: "GET" },
    { pattern: new RegExp(`^${rpcPath.replaceAll(".", "\\.")}$`), method: "GET" }
  ]
  HttpApi.reflect(RestApi, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint: { method, path } }) =>
      found.push({ method, pattern: new RegExp(`^${path.replaceAll(/:\w+/g, "[^/]+")}$`) })
  })
  return found
}

/** A HEAD is looked for among the GETs first, and TRACE is no method of the library's: both get its 404, without a body. */
const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const

export const unknownRoutes = HttpLayerRouter.use((router) => {
  const routes = known()
  const answer = Effect.map(HttpServerRequest.HttpServerRequest, ({ method, url }) => {
    const [path = ""] = url.split("?")
    const there = [...new Set(routes.filter(({ pattern }) => pattern.test(path)).map((route) => route.method))]
    const allow = [...there, ...(there.includes("GET") ? ["HEAD"] : [])].join(", ")
    const [status, headers] = there.length === 0 ? [404, {}] : [405, { allow }]
    if (method === "OPTIONS")
      return HttpServerResponse.empty({ status, headers: { ...headers, "content-length": "0" } })
    return problem({
      ...(status === 404
        ? { code: "RouteNotFound", error: "there is no such route" }
        : { code: "MethodNotAllowed", error: `${method} is not for this route` }),
      status,
      headers,
      remedy: "GET /v1/openapi.json describes all routes"
    })
  })
  return Effect.forEach(methods, (method) => router.add(method, "/*", answer), { discard: true })
})
