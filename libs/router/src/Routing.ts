/**
 * Which instance a request is for (S-199, S-200): by `X-Aegis-Instance`, by host name, by the path's first segment, or the sole one.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { IncomingMessage } from "node:http"
import type { Destination, Destinations } from "./Destinations.ts"
import { type Refusal, refusal } from "./Refusal.ts"
import { nameOfHost, valuesOf } from "./RequestRules.ts"

export interface Route {
  readonly destination: Destination
  /** The target as the instance gets it. */
  readonly path: string
  /** What was taken off it. */
  readonly prefix: string
}

export const route = (request: IncomingMessage, { all, find }: Destinations["Type"]): Effect.Effect<Route, Refusal> =>
  Effect.gen(function* () {
    const path = request.url ?? "/"
    const named = valuesOf(request, "x-aegis-instance")
    if (named.length > 1)
      return yield* Effect.fail(refusal(400, "InvalidRequest", "X-Aegis-Instance is there twice", "send it once"))
    const wanted = named[0] ?? nameOfHost(request.headers.host ?? "")
    if (wanted !== undefined) {
      const found = yield* find(wanted)
      if (Option.isNone(found)) {
        return yield* Effect.fail(
          refusal(
            404,
            "NotFound",
            `instance "${wanted.slice(0, 128)}" not found`,
            "aegis instance list shows what there is"
          )
        )
      }
      if (found.value === "unexposed") return yield* Effect.fail(unexposed(wanted))
      return { destination: found.value, path, prefix: "" }
    }
    // One segment, and no other spelling of it: nothing is decoded here, and nothing is put together (T-175).
    const [, segment, rest] = /^\/([a-z0-9][a-z0-9._-]{0,127})((?:[/?].*)?)$/s.exec(path) ?? []
    if (segment !== undefined && segment !== "v1") {
      const found = yield* find(segment)
      if (Option.isSome(found) && found.value !== "unexposed") {
        return {
          destination: found.value,
          path: rest?.startsWith("/") === true ? rest : `/${rest ?? ""}`,
          prefix: `/${segment}`
        }
      }
    }
    const exposed = yield* all
    const alive = exposed.filter(({ state }) => state !== "stopped")
    const [sole, another] = alive.length > 0 ? alive : exposed
    if (sole !== undefined && another === undefined) return { destination: sole, path, prefix: "" }
    return yield* Effect.fail(
      sole === undefined
        ? refusal(
            503,
            "NoInstance",
            "no instance has an http port exposed",
            "aegis instance start --name web --expose 80 -- COMMAND"
          )
        : refusal(
            503,
            "NoInstance",
            `${exposed.length} instances are exposed, and the request names none of them`,
            `use http://${sole.name}.localhost:PORT/, /${sole.name}/, or the header X-Aegis-Instance: ${sole.name}`
          )
    )
  })

const unexposed = (target: string) =>
  refusal(
    503,
    "NoExposedPort",
    `instance "${target.slice(0, 128)}" has no http port exposed`,
    `aegis expose ${target.slice(0, 128)} PORT`
  )
