/**
 * Ports of a guest that are reachable on the host.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"

/** How a port is served: `http` through the router's rules, `tcp` as bytes. */
export const ExposedProtocol = Schema.Literal("http", "tcp")
export type ExposedProtocol = typeof ExposedProtocol.Type

export const PortNumber = Schema.Int.pipe(
  Schema.between(1, 65535, { message: () => "a port is a whole number from 1 to 65535" })
)

/** One port of a guest that is to be exposed (S-070). */
export class Exposure extends Schema.Class<Exposure>("Exposure")({
  port: PortNumber,
  protocol: Schema.optionalWith(ExposedProtocol, { default: () => "http" as const }),
  /** The host's port that is wanted for it; absent: any. */
  hostPort: Schema.optional(PortNumber)
}) {}

/** Of one instance. */
export const maxExposures = 64

const twice = (ports: ReadonlyArray<number>) => ports.find((port, index) => ports.indexOf(port) !== index)

/** The exposed ports of one instance: each at most once (T-5). */
export const Exposures = Schema.Array(Exposure).pipe(
  Schema.maxItems(maxExposures, { message: () => `at most ${maxExposures} ports can be exposed` }),
  Schema.filter((exposures) => {
    const guest = twice(exposures.map(({ port }) => port))
    const host = twice(exposures.flatMap(({ hostPort }) => (hostPort === undefined ? [] : [hostPort])))
    if (guest !== undefined) return `port ${guest} is exposed twice`
    return host === undefined ? undefined : `port ${host} of the host is asked for twice`
  })
)

/** One exposed port of a guest and the host's port that leads to it (S-105, D-14). */
export class PortBinding extends Schema.Class<PortBinding>("PortBinding")({
  guest: PortNumber,
  host: PortNumber,
  protocol: ExposedProtocol
}) {}

/** The port is exposed in another way than is asked for. */
export class AlreadyExposed extends Schema.TaggedError<AlreadyExposed>()(
  "AlreadyExposed",
  { target: Schema.String, port: Schema.Int, host: Schema.Int, protocol: ExposedProtocol },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `port ${this.port} of instance "${this.target}" is exposed already: port ${this.host} of this machine leads to it (${this.protocol})`
  }
  get remedy() {
    return `aegis unexpose ${this.target} ${this.port}, then expose it again`
  }
}

/** The port is not exposed, or not any more. */
export class NotExposed extends Schema.TaggedError<NotExposed>()(
  "NotExposed",
  { target: Schema.String, port: Schema.Int },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `port ${this.port} of instance "${this.target}" is not exposed`
  }
  get remedy() {
    return `aegis instance info ${this.target} shows which are; aegis expose ${this.target} ${this.port} exposes it`
  }
}

/** Nothing in the guest takes connections on this port. */
export class PortSilent extends Schema.TaggedError<PortSilent>()(
  "PortSilent",
  { target: Schema.String, port: Schema.Int, reason: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `instance "${this.target}", port ${this.port}: ${this.reason}`
  }
  get remedy() {
    return `check that its command listens on port ${this.port}: aegis logs ${this.target}`
  }
}

/** It was woken for a connection, and was not there in time (S-201). */
export class WakeTimeout extends Schema.TaggedError<WakeTimeout>()(
  "WakeTimeout",
  { target: Schema.String, seconds: Schema.Number },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `instance "${this.target}" was not ready within ${this.seconds} s`
  }
  get remedy() {
    return `try again; aegis why ${this.target} says what it does`
  }
}

/** As many connections as are possible are open, or wait for it. */
export class TooManyConnections extends Schema.TaggedError<TooManyConnections>()(
  "TooManyConnections",
  { target: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `instance "${this.target}": too many connections`
  }
  get remedy() {
    return "try again when some of them have ended"
  }
}

/** What has come by one exposed port since the daemon began to serve it. */
export class EndpointUse extends Schema.Class<EndpointUse>("EndpointUse")({
  guest: PortBinding.fields.guest,
  /** Connections into the guest: each request of HTTP has one of its own. */
  connections: Schema.NonNegativeInt,
  /** Requests of HTTP. */
  requests: Schema.NonNegativeInt,
  /** Bytes from clients, and to them, of whole requests and answers; of connections that are open as of a moment ago. */
  received: Schema.NonNegativeInt,
  sent: Schema.NonNegativeInt,
  /** How often somebody had to wait for the instance to be started or resumed. */
  wakes: Schema.NonNegativeInt,
  /** Connections and requests that the guest could not be reached for, or that it gave no usable answer to. */
  errors: Schema.NonNegativeInt
}) {}
