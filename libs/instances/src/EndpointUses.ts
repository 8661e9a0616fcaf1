/**
 * What comes by each exposed port: for who asks for the instance, and as metrics of Effect for who watches the daemon.
 */
import { EndpointUse, type InstanceId } from "@aegis/domain"
import type { EndpointCount } from "@aegis/router"
import * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"

const counters = {
  connections: Metric.counter("aegis_endpoint_connections_total", {
    description: "Connections into guests by their exposed ports; each request of HTTP has one of its own.",
    incremental: true
  }),
  requests: Metric.counter("aegis_endpoint_requests_total", {
    description: "Requests of HTTP.",
    incremental: true
  }),
  received: Metric.counter("aegis_endpoint_received_bytes_total", {
    description: "Bytes from clients.",
    incremental: true
  }),
  sent: Metric.counter("aegis_endpoint_sent_bytes_total", { description: "Bytes to clients.", incremental: true }),
  wakes: Metric.counter("aegis_endpoint_wakes_total", {
    description: "How often an instance had to be started or resumed for a connection.",
    incremental: true
  }),
  errors: Metric.counter("aegis_endpoint_errors_total", {
    description: "Connections and requests without a usable answer.",
    incremental: true
  })
}

const keys = ["connections", "requests", "received", "sent", "wakes", "errors"] as const

type Counts = Record<(typeof keys)[number], number>

interface Used {
  /** The metrics' label: those without a handle, of which there may be any number, count as one. */
  readonly label: MetricLabel.MetricLabel
  readonly ports: Map<number, Counts>
}

export const make = () => {
  const uses = new Map<InstanceId, Used>()

  /** Of an instance that is known by `begin`. */
  const count = (id: InstanceId, port: number, what: EndpointCount) => {
    const used = uses.get(id)
    if (used === undefined) return
    const labels = [used.label, MetricLabel.make("port", String(port))]
    const counts = used.ports.get(port) ?? { connections: 0, requests: 0, received: 0, sent: 0, wakes: 0, errors: 0 }
    used.ports.set(port, counts)
    for (const key of keys) {
      const more = what[key] ?? 0
      if (more === 0) continue
      counts[key] += more
      counters[key].unsafeUpdate(more, labels)
    }
  }

  return {
    /** Counts a connection. */
    begin: (id: InstanceId, handle: string | undefined, port: number) => {
      if (!uses.has(id)) uses.set(id, { label: MetricLabel.make("instance", handle ?? ""), ports: new Map() })
      count(id, port, { connections: 1 })
    },
    count,
    of: (id: InstanceId): ReadonlyArray<EndpointUse> =>
      [...(uses.get(id)?.ports ?? [])].map(([guest, counts]) => new EndpointUse({ guest, ...counts })),
    forget: (id: InstanceId) => uses.delete(id)
  }
}
