/**
 * What a registry's status codes mean (distribution specification, "Error Codes"; RFC 9110).
 */
import { ImageNotFound, RegistryDenied, RegistryProtocol, RegistryUnavailable } from "@aegis/domain"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Failure, Transient } from "./Failure.ts"
import type { Answer } from "./Transport.ts"

/** What was asked for, for messages. */
export interface Asked {
  readonly reference: string
  readonly registry: string
  readonly what: { readonly _tag: "Document" } | { readonly _tag: "Blob"; readonly digest: string }
}

/** The failure of an answer that is none of 200, 206 and 401 (T-94). */
export const failureOfStatus = ({ reference, registry, what }: Asked, answer: Answer): Effect.Effect<never, Failure> =>
  Effect.gen(function* () {
    const { status } = answer
    const missing = (reason: string) => new ImageNotFound({ reference, reason })
    switch (status) {
      case 403:
        return yield* new RegistryDenied({ registry, reason: `${reference} may not be read (403)` })
      case 404:
        return yield* missing(
          what._tag === "Document"
            ? `${registry} has no such image or tag (404)`
            : `${registry} has its manifest and not its blob ${what.digest} (404)`
        )
      case 405:
        return yield* new RegistryProtocol({ registry, reason: "it does not let images be read (405)" })
      case 410:
        return yield* missing(`${registry} had it and has removed it (410)`)
      case 451:
        return yield* new RegistryDenied({ registry, reason: `${reference} is withheld for legal reasons (451)` })
    }
    if (status === 429 || status >= 500) {
      const reason = status === 429 ? "it has had too many requests from here (429)" : `it answered ${status}`
      return yield* new Transient({
        error: new RegistryUnavailable({ registry, cause: "busy", reason }),
        after: yield* retryAfter(answer)
      })
    }
    return yield* new RegistryProtocol({ registry, reason: `it answered ${status}` })
  })

/** `Retry-After`: seconds or a date; none when it is neither. */
export const retryAfter = ({ headers }: Answer): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const text = headers["retry-after"]?.trim() ?? ""
    if (/^[0-9]{1,12}$/.test(text)) return Option.some(Duration.seconds(Number(text)))
    // RFC 9110's dates begin with a day's name; Date.parse would take much else.
    const date = /^[A-Za-z]{3,9}, /.test(text) ? Date.parse(text) : Number.NaN
    return Number.isNaN(date) ? Option.none() : Option.some(Duration.millis(Math.max(0, date - now)))
  })
