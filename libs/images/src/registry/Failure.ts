/**
 * How a try at a registry ends badly: for good, or so that another try may mend it.
 */
import { RegistryProtocol, RegistryUnavailable, type RegistryError } from "@aegis/domain"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** Another try may end better; `after` is what the registry asked us to wait. */
export class Transient extends Data.TaggedError("Transient")<{
  readonly error: RegistryError
  readonly after: Option.Option<Duration.Duration>
}> {}

export type Failure = RegistryError | Transient

/** The connection ended before what was promised had come. */
export const brokenOff = (registry: string, reason: string): Transient =>
  new Transient({ error: new RegistryUnavailable({ registry, cause: "broken", reason }), after: Option.none() })

/** A proxy that cannot be used, or refused us. */
export class ProxyFailed extends Data.TaggedError("ProxyFailed")<{ readonly message: string }> {}

const tls = /^(?:CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_|EPROTO)/
const unreachable = ["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "ETIMEDOUT", "EACCES", "EPERM"]

/** What a failure of Node's HTTP client means. */
export const failureOf = (registry: string, cause: unknown): Failure => {
  const error: NodeJS.ErrnoException = cause instanceof Error ? cause : new Error(String(cause))
  const code = error.code ?? ""
  const unavailable = (cause: RegistryUnavailable["cause"], reason: string) =>
    new RegistryUnavailable({ registry, cause, reason })
  if (error instanceof ProxyFailed) return unavailable("proxy", error.message)
  if (tls.test(code))
    return unavailable("tls", `its certificate or TLS is not accepted (${error.message.split("\n")[0]})`)
  if (code === "ENOTFOUND" || code === "ENODATA") return unavailable("dns", "its host name is not known")
  if (code === "EAI_AGAIN") {
    return new Transient({ error: unavailable("dns", "no name server answers"), after: Option.none() })
  }
  if (code === "ECONNREFUSED") {
    return new Transient({ error: unavailable("connect", "the connection was refused"), after: Option.none() })
  }
  if (unreachable.includes(code)) return unavailable("connect", `it cannot be reached (${code})`)
  if (code === "HPE_HEADER_OVERFLOW") {
    return new RegistryProtocol({ registry, reason: "its answer's headers are larger than 16 KiB" })
  }
  if (code.startsWith("HPE_")) return new RegistryProtocol({ registry, reason: "its answer is not HTTP" })
  return brokenOff(registry, "the connection broke")
}
