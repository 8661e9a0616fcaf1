/**
 * Reads images from registries: distribution specification 1.1, "Pull".
 */
import {
  DigestMismatch,
  type ImageReference,
  ImageTooLarge,
  RegistryDenied,
  type RegistryError,
  RegistryProtocol
} from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AgentOptions } from "./Agents.ts"
import { type BlobRead, type OpenBody, readBlob, sizeMismatch } from "./BlobBody.ts"
import { makeCredentials } from "./Credentials.ts"
import type { Failure } from "./Failure.ts"
import { acceptedTypes, type BlobDescriptor, limits } from "./Manifest.ts"
import { type Origin, originsOf } from "./Origin.ts"
import { readSettings, type RegistrySettings } from "./RegistriesFile.ts"
import { digestOf, type FetchedDocument } from "./Resolve.ts"
import { retrying } from "./Retry.ts"
import { type Asked, failureOfStatus } from "./Status.ts"
import { makeTokens } from "./Tokens.ts"
import { type Answer, makeTransport, readBody } from "./Transport.ts"

export class Registry extends Context.Tag("@aegis/images/Registry")<
  Registry,
  {
    /**
     * The manifest or index that the reference's digest, else its tag, stands for, at most 4 MiB. With a digest the bytes have that
     * digest; with a tag, `digest` is that of the bytes, whatever the registry says of them (T-52, T-53).
     */
    readonly manifest: (reference: ImageReference) => Effect.Effect<FetchedDocument, RegistryError>
    /**
     * A blob of the reference's repository from `offset` on. Reading its bytes goes on over broken connections and expired tokens;
     * they are not hashed here. The scope's end closes the connection.
     */
    readonly blob: (
      reference: ImageReference,
      descriptor: BlobDescriptor,
      offset: number
    ) => Effect.Effect<BlobRead, RegistryError, Scope.Scope>
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make({}))
  )
  /** With connections made in another way. */
  static readonly layerWith = (options: AgentOptions) => Layer.scoped(this, make(options))
}

const make = (options: AgentOptions) =>
  Effect.gen(function* () {
    const paths = yield* AegisPaths
    const transport = yield* makeTransport(options)
    const tokens = makeTokens(transport, yield* makeCredentials)
    const settingsFor = ({ registry }: ImageReference) => readSettings(`${paths.home}/registries.json`, registry)

    /** One GET with whatever login it takes. A second 401 is the last (T-93). */
    const get = (
      settings: RegistrySettings,
      origin: Origin,
      path: string,
      headers: Readonly<Record<string, string>>
    ): Effect.Effect<Answer, Failure, Scope.Scope> =>
      Effect.gen(function* () {
        const url = new URL(`/v2/${origin.repository}/${path}`, origin.base)
        const ask = { registry: origin.host, url, headers }
        const redirects = { settings, elsewhere: true }
        const used = yield* tokens.known(origin)
        const first = yield* transport.send({ ...ask, authorization: used }, redirects)
        if (first.status !== 401) return first
        const authorization = yield* tokens.answer(settings, origin, first.headers["www-authenticate"], used)
        const second = yield* transport.send({ ...ask, authorization }, redirects)
        if (second.status !== 401) return second
        return yield* new RegistryDenied({ registry: origin.host, reason: "it does not accept the login (401)" })
      })

    const manifest = Effect.fn("Registry.manifest")(function* (reference: ImageReference) {
      const settings = yield* settingsFor(reference)
      return yield* eachOrigin(originsOf(settings, reference), (origin) =>
        Effect.gen(function* () {
          const registry = origin.host
          const path = `manifests/${reference.digest ?? reference.tag}`
          const answer = yield* get(settings, origin, path, { accept: acceptedTypes })
          const asked: Asked = { reference: reference.canonical, registry, what: { _tag: "Document" } }
          if (answer.status !== 200) return yield* failureOfStatus(asked, answer)
          const bytes = yield* readBody(registry, answer, limits.documentBytes)
          if (bytes === undefined) {
            return yield* new ImageTooLarge({ reference: reference.canonical, what: "the manifest", limit: "4 MiB" })
          }
          const digest = digestOf(bytes)
          if (reference.digest !== undefined && reference.digest !== digest) {
            const [expected, actual] = [reference.digest, digest]
            return yield* new DigestMismatch({ reference: reference.canonical, what: "the manifest", expected, actual })
          }
          return { mediaType: answer.headers["content-type"], digest, bytes }
        }).pipe(Effect.scoped)
      ).pipe(retrying)
    })

    const blob = Effect.fn("Registry.blob")(function* (
      reference: ImageReference,
      { digest, size }: BlobDescriptor,
      offset: number
    ) {
      const settings = yield* settingsFor(reference)
      const plan = { registry: reference.registry, reference: reference.canonical, digest, size }
      const openAt = (origin: Origin, position: number): Effect.Effect<OpenBody, Failure, Scope.Scope> =>
        Effect.gen(function* () {
          const range: Record<string, string> = position > 0 ? { range: `bytes=${position}-` } : {}
          const answer = yield* get(settings, origin, `blobs/${digest}`, range)
          const asked: Asked = { reference: plan.reference, registry: origin.host, what: { _tag: "Blob", digest } }
          switch (answer.status) {
            case 200: {
              const announced = answer.headers["content-length"]
              if (announced !== undefined && Number(announced) !== size) {
                return yield* sizeMismatch(plan, `${announced} bytes`)
              }
              return { startsAt: 0, body: answer.body }
            }
            case 206: {
              const total = contentRange(answer, position, size)
              if (total === undefined) {
                return yield* new RegistryProtocol({
                  registry: origin.host,
                  reason: "it sent another range than asked for"
                })
              }
              if (total !== size) return yield* sizeMismatch(plan, `${total} bytes`)
              return { startsAt: position, body: answer.body }
            }
            case 416:
              // It has less than we have: what we have is not worth much.
              if (position > 0) return yield* openAt(origin, 0)
          }
          return yield* failureOfStatus(asked, answer)
        })
      const open = (position: number) =>
        eachOrigin(originsOf(settings, reference), (origin) => openAt(origin, position))
      if (offset === size && size > 0) return { startsAt: size, bytes: Stream.empty }
      return yield* readBlob({ ...plan, open }, offset < size ? offset : 0)
    })

    return Registry.of({ manifest, blob })
  })

/** Asks one after the other. What a mirror fails with does not count: the registry itself is the last, and its failure the answer. */
const eachOrigin = <A, R>(
  [origin, ...others]: ReadonlyArray<Origin>,
  ask: (origin: Origin) => Effect.Effect<A, Failure, R>
): Effect.Effect<A, Failure, R> => {
  const [next] = others
  if (origin === undefined) return Effect.dieMessage("an image without an origin")
  if (next === undefined) return ask(origin)
  return Effect.catchAll(ask(origin), (failure) => {
    const { message } = failure._tag === "Transient" ? failure.error : failure
    return Effect.zipRight(Effect.logDebug(`mirror ${origin.host}: ${message}`), eachOrigin(others, ask))
  })
}

/** The blob's whole size by an answer's `Content-Range`; nothing when it is not from `position` to the end. */
const contentRange = ({ headers }: Answer, position: number, size: number): number | undefined => {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(headers["content-range"] ?? "")
  if (match === null || position === 0 || Number(match[1]) !== position) return undefined
  const total = match[3] === "*" ? size : Number(match[3])
  return Number(match[2]) === total - 1 ? total : undefined
}
