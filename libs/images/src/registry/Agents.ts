/**
 * The connections to registries: which certificates are trusted, which proxy they go through.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import type { LookupFunction, Socket } from "node:net"
import { Duplex } from "node:stream"
import * as tls from "node:tls"
import { goesDirect, openTunnel } from "./Tunnel.ts"

export interface AgentOptions {
  /** How names become addresses; the system's way when not given. */
  readonly lookup?: LookupFunction | undefined
}

export interface Agents {
  readonly http: http.Agent
  readonly https: https.Agent
}

/**
 * Agents that keep connections for the next request, and close them with the scope. Trusted is what the machine trusts
 * (`SSL_CERT_FILE`, the system's bundle, else Node's own). TLS goes through `HTTPS_PROXY` except to loopback and what `NO_PROXY`
 * names; plain HTTP, which is for loopback and hosts named as insecure, always goes directly.
 */
export const makeAgents = ({ lookup }: AgentOptions): Effect.Effect<Agents, never, Scope.Scope> =>
  Effect.gen(function* () {
    const certificates = yield* firstOf("SSL_CERT_FILE")
    const proxy = yield* firstOf("HTTPS_PROXY", "https_proxy")
    const direct = yield* firstOf("NO_PROXY", "no_proxy")
    const common = { keepAlive: true, ...(lookup === undefined ? {} : { lookup }) }
    return yield* Effect.acquireRelease(
      Effect.sync(() => ({
        http: new PlainAgent(common),
        https: new SecureAgent(common, certificates, { proxy, direct: Option.getOrElse(direct, () => "") })
      })),
      (made) => Effect.sync(() => [made.http, made.https].forEach((agent) => agent.destroy()))
    )
  })

/** What a connection reads at once. */
export const readBytes = 64 * 1024

/** Has a connection read into one buffer of its own, again and again, and not into a new one each time. */
const readingInPlace = <A>(options: A) => ({
  ...options,
  onread: {
    buffer: Buffer.allocUnsafeSlow(readBytes),
    // Node calls it as the connection's. Its HTTP parser has taken what it needs when this returns.
    callback(this: Socket, count: number, buffer: Uint8Array) {
      this.emit("data", buffer.subarray(0, count))
      return true
    }
  }
})

class PlainAgent extends http.Agent {
  override createConnection(
    options: http.ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void
  ): Duplex | null | undefined {
    return super.createConnection(readingInPlace(options), callback)
  }
}

const firstOf = (...names: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(names, (name) => Effect.option(Config.nonEmptyString(name))),
    Option.firstSomeOf
  )

interface Proxying {
  readonly proxy: Option.Option<string>
  readonly direct: string
}

class SecureAgent extends https.Agent {
  private readonly certificates: Option.Option<string>
  private readonly proxying: Proxying
  private context: tls.SecureContext | undefined

  constructor(options: https.AgentOptions, certificates: Option.Option<string>, proxying: Proxying) {
    super(options)
    this.certificates = certificates
    this.proxying = proxying
  }

  // Node waits for the callback when nothing is returned.
  override createConnection(
    options: https.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void
  ): Duplex | null | undefined {
    this.context ??= tls.createSecureContext({ ca: trusted(this.certificates) })
    const secure = readingInPlace({ ...options, secureContext: this.context })
    const target = { hostname: options.host ?? "", port: Number(options.port ?? 443) }
    if (Option.isNone(this.proxying.proxy) || goesDirect(this.proxying.direct, target)) {
      return super.createConnection(secure, callback)
    }
    openTunnel(this.proxying.proxy.value, target, (error, socket) => {
      // Node looks at the error alone; its type wants a stream beside it.
      if (socket === undefined) return callback?.(error, new Duplex())
      const through = { ...secure, socket }
      callback?.(null, super.createConnection(through) ?? socket)
    })
    return undefined
  }
}

const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]

/** In PEM. Read once, at the first connection with TLS. */
const trusted = (named: Option.Option<string>): string | Array<string> => {
  const candidates = Option.match(named, { onNone: () => bundles, onSome: (file) => [file] })
  for (const file of candidates) {
    const read = Either.try(() => readFileSync(file, "utf8"))
    if (Either.isRight(read)) return read.right
  }
  return [...tls.rootCertificates]
}
