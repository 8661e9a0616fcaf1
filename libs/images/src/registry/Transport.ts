/**
 * One HTTP exchange with a registry and the redirects that belong to it.
 */
import { RegistryProtocol, RegistryUnavailable, version } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type AgentOptions, makeAgents } from "./Agents.ts"
import { bodyOf, exchange, type Request } from "./Exchange.ts"
import { brokenOff, type Failure, failureOf } from "./Failure.ts"
import { redirectTarget } from "./Origin.ts"
import type { RegistrySettings } from "./RegistriesFile.ts"

export interface Ask {
  /** For messages: the registry's name. */
  readonly registry: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Goes to the URL's own origin only, never where a redirect leads elsewhere (T-97). */
  readonly authorization: Redacted.Redacted<string> | undefined
  /** Sends a POST with these fields instead of a GET. */
  readonly form?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
}

/** An answer whose status is no redirect. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** A piece holds until the next is asked for. */
  readonly body: Stream.Stream<Uint8Array, Failure>
}

export interface Transport {
  /** Asks, and follows redirects as far as they are safe. The scope's end closes the connection when the answer is not read. */
  readonly send: (
    ask: Ask,
    redirects: { readonly settings: RegistrySettings; readonly elsewhere: boolean }
  ) => Effect.Effect<Answer, Failure, Scope.Scope>
}

/** From the request to the answer's headers (T-104). */
const firstByte = "30 seconds"

const maxRedirects = 5

export const makeTransport = (options: AgentOptions): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.gen(function* () {
    const agents = yield* makeAgents(options)
    const once = (ask: Ask): Effect.Effect<Answer, Failure, Scope.Scope> =>
      exchange(agents, requestOf(ask)).pipe(
        Effect.mapError((error) => failureOf(ask.registry, error)),
        Effect.timeoutFail({
          duration: firstByte,
          onTimeout: () =>
            new RegistryUnavailable({
              registry: ask.registry,
              cause: "timeout",
              reason: `${ask.url.host} did not answer within ${firstByte}`
            })
        }),
        Effect.map((response) => ({
          status: response.statusCode ?? 0,
          headers: { ...response.headers, "set-cookie": undefined },
          body: Stream.mapError(bodyOf(response), (error) => failureOf(ask.registry, error))
        }))
      )

    const send: Transport["send"] = (ask, { elsewhere, settings }) => {
      const follow = (current: Ask, hops: number): Effect.Effect<Answer, Failure, Scope.Scope> =>
        Effect.gen(function* () {
          const answer = yield* once(current)
          if (![301, 302, 303, 307, 308].includes(answer.status)) return answer
          const refuse = (reason: string) => new RegistryProtocol({ registry: ask.registry, reason })
          if (hops === maxRedirects) return yield* refuse(`more than ${maxRedirects} redirects in a row`)
          const target = redirectTarget(settings, current.url, answer.headers["location"])
          if (Either.isLeft(target)) return yield* refuse(`${target.left}, which is not followed`)
          const isHome = target.right.origin === current.url.origin
          if (!elsewhere && (!isHome || ask.form !== undefined)) {
            return yield* refuse("a redirect of a login, which is not followed")
          }
          // Once it is left out it stays out, even if the way leads back.
          const authorization = isHome ? current.authorization : undefined
          return yield* follow({ ...current, url: target.right, authorization }, hops + 1)
        })
      return follow(ask, 0)
    }
    return { send }
  })

const requestOf = ({ authorization, form, headers, url }: Ask): Request => ({
  url,
  headers: {
    ...headers,
    // What is hashed is what was stored, not what a server makes of it on the way (T-105).
    "accept-encoding": "identity",
    "user-agent": `aegis/${version}`,
    ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
    ...(authorization === undefined ? {} : { authorization: Redacted.value(authorization) })
  },
  body: form === undefined ? undefined : encoded(form)
})

const encoded = (form: NonNullable<Ask["form"]>) => {
  const fields = new URLSearchParams()
  for (const [name, value] of Object.entries(form)) fields.append(name, Redacted.value(value))
  return fields.toString()
}

/** A body's bytes, at most `limit`; `undefined` when there are more. A body shorter than announced is a broken connection. */
export const readBody = (
  registry: string,
  answer: Answer,
  limit: number
): Effect.Effect<Uint8Array | undefined, Failure> =>
  answer.body.pipe(
    Stream.mapAccum(0, (sum, bytes) => [sum + bytes.length, { bytes: Buffer.from(bytes), sum: sum + bytes.length }]),
    Stream.takeUntil(({ sum }) => sum > limit),
    Stream.runCollect,
    Effect.timeoutFail({
      duration: firstByte,
      onTimeout: () =>
        new RegistryUnavailable({ registry, cause: "timeout", reason: `its answer was not there within ${firstByte}` })
    }),
    Effect.flatMap((pieces) => {
      const bytes = Buffer.concat(Chunk.toReadonlyArray(pieces).map((piece) => piece.bytes))
      if (bytes.length > limit) return Effect.succeed(undefined)
      const announced = answer.headers["content-length"]
      return announced !== undefined && Number(announced) !== bytes.length
        ? brokenOff(registry, "the connection broke within a document")
        : Effect.succeed(bytes)
    })
  )
