/**
 * The answer to a registry's 401: a password, or a token fetched with it (distribution specification, "Token authentication" and
 * "OAuth2"). Tokens are kept in memory for the repository that they are for.
 */
import { RegistryDenied, RegistryProtocol, RegistryUnavailable } from "@aegis/domain"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type Challenge, parseChallenge } from "./Challenge.ts"
import type { Credential, Credentials, FoundCredential } from "./Credentials.ts"
import { type Failure, Transient } from "./Failure.ts"
import { type Origin, realmTarget } from "./Origin.ts"
import type { RegistrySettings } from "./RegistriesFile.ts"
import { type Answer, readBody, type Transport } from "./Transport.ts"
import { retryAfter } from "./Status.ts"

/** What goes into an `Authorization` header. */
export type Authorization = Redacted.Redacted<string>

export interface Tokens {
  /** What the repository was last read with, while that holds. */
  readonly known: (origin: Origin) => Effect.Effect<Authorization | undefined>
  /** A new authorization after a 401 to `used`. Concurrent callers share one fetch. */
  readonly answer: (
    settings: RegistrySettings,
    origin: Origin,
    challenge: string | undefined,
    used: Authorization | undefined
  ) => Effect.Effect<Authorization, Failure>
}

const maxAnswerBytes = 1024 * 1024

/** A token holds a minute at least, as the specification has it, and is fetched anew after an hour at most. */
const lifetime = { shortest: 60, longest: 3600 }

const TokenText = Schema.Redacted(Schema.String.pipe(Schema.pattern(/^[\x21-\x7e]{1,16384}$/)))

const TokenAnswer = Schema.parseJson(
  Schema.Struct({
    token: Schema.optional(TokenText),
    access_token: Schema.optional(TokenText),
    expires_in: Schema.optional(Schema.NullOr(Schema.Number))
  })
)

interface Held {
  readonly authorization: Authorization
  readonly until: number
}

export const makeTokens = (transport: Transport, credentials: Credentials): Tokens => {
  const held = new Map<string, Held>()
  const locks = new Map<string, Effect.Semaphore>()
  const keyOf = ({ base, repository }: Origin) => `${base.origin} ${repository}`

  const known: Tokens["known"] = (origin) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const found = held.get(keyOf(origin))
      return found !== undefined && found.until > now ? found.authorization : undefined
    })

  const lockOf = (key: string) => {
    const lock = locks.get(key) ?? Effect.unsafeMakeSemaphore(1)
    locks.set(key, lock)
    return lock
  }

  const fetchToken = (
    settings: RegistrySettings,
    origin: Origin,
    { realm, service }: Extract<Challenge, { _tag: "Bearer" }>,
    { credential, faults }: FoundCredential
  ): Effect.Effect<Held, Failure> =>
    Effect.gen(function* () {
      const registry = origin.host
      const target = realmTarget(settings, origin, realm)
      if (Either.isLeft(target)) return yield* new RegistryProtocol({ registry, reason: target.left })
      const answer = yield* transport.send(
        { registry, ...tokenRequest(target.right, origin, service, credential) },
        { settings, elsewhere: false }
      )
      yield* refusalOf(registry, answer, credential, faults)
      const body = yield* readBody(registry, answer, maxAnswerBytes)
      const decoded = Schema.decodeOption(TokenAnswer)(body === undefined ? "" : Buffer.from(body).toString("utf8"))
      const token = Option.flatMap(decoded, (found) => Option.fromNullable(found.token ?? found.access_token))
      if (Option.isNone(decoded) || Option.isNone(token)) {
        return yield* new RegistryProtocol({ registry, reason: "its token server answered without a token" })
      }
      const seconds = decoded.value.expires_in ?? lifetime.shortest
      const holds = Math.min(Math.max(seconds, lifetime.shortest), lifetime.longest)
      const now = yield* Clock.currentTimeMillis
      return {
        authorization: Redacted.make(`Bearer ${Redacted.value(token.value)}`),
        // Not used in its last seconds: a request takes time, and clocks differ.
        until: now + (holds - 10) * 1000
      }
    }).pipe(Effect.scoped)

  const answer: Tokens["answer"] = (settings, origin, header, used) =>
    Effect.gen(function* () {
      const registry = origin.host
      const key = keyOf(origin)
      // Another request may have fetched it while this one waited.
      const newer = yield* known(origin)
      if (newer !== undefined && newer !== used) return newer
      held.delete(key)
      const challenge = parseChallenge(header)
      if (Either.isLeft(challenge)) return yield* new RegistryProtocol({ registry, reason: challenge.left })
      const found = yield* credentials.find(registry, origin.repository)
      const fetched =
        challenge.right._tag === "Bearer"
          ? yield* fetchToken(settings, origin, challenge.right, found)
          : yield* passwordFor(registry, found)
      held.set(key, fetched)
      return fetched.authorization
    }).pipe(
      lockOf(keyOf(origin)).withPermits(1),
      Effect.withSpan("Registry.authorize", { attributes: { registry: origin.host } })
    )

  return { known, answer }
}

const passwordFor = (registry: string, { credential, faults }: FoundCredential): Effect.Effect<Held, RegistryDenied> =>
  Option.isSome(credential) && isPassword(credential.value)
    ? Effect.succeed({ authorization: basic(credential.value), until: Number.POSITIVE_INFINITY })
    : new RegistryDenied({ registry, reason: ["it wants a name and a password", ...faults].join("; ") })

type Password = Extract<Credential, { readonly _tag: "Password" }>

const isPassword = (credential: Credential): credential is Password => credential._tag === "Password"

const basic = ({ password, username }: Password): Authorization =>
  Redacted.make(`Basic ${Buffer.from(`${username}:${Redacted.value(password)}`).toString("base64")}`)

/** Asks to read one repository, whatever the challenge would have had us ask for (T-90). */
const tokenRequest = (
  realm: URL,
  origin: Origin,
  service: string | undefined,
  credential: Option.Option<Credential>
) => {
  const scope = `repository:${origin.repository}:pull`
  const headers = { accept: "application/json" }
  if (Option.isSome(credential) && credential.value._tag === "RefreshToken") {
    const form = {
      grant_type: Redacted.make("refresh_token"),
      service: Redacted.make(service ?? ""),
      scope: Redacted.make(scope),
      client_id: Redacted.make("aegis"),
      refresh_token: credential.value.token
    }
    return { url: realm, headers, authorization: undefined, form }
  }
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set("service", service)
  url.searchParams.set("scope", scope)
  return {
    url,
    headers,
    authorization: Option.getOrUndefined(Option.map(Option.filter(credential, isPassword), basic))
  }
}

const refusalOf = (
  registry: string,
  answer: Answer,
  credential: Option.Option<Credential>,
  faults: ReadonlyArray<string>
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { status } = answer
    if (status === 200) return
    if (status === 401 || status === 403 || status === 400) {
      const reason = Option.isSome(credential)
        ? `its token server refused the login (${status})`
        : [`its token server wants a login (${status})`, ...faults].join("; ")
      return yield* new RegistryDenied({ registry, reason })
    }
    if (status === 429 || status >= 500) {
      const reason = `its token server answered ${status}`
      const after = yield* retryAfter(answer)
      return yield* new Transient({ error: new RegistryUnavailable({ registry, cause: "busy", reason }), after })
    }
    return yield* new RegistryProtocol({ registry, reason: `its token server answered ${status}` })
  })
