/**
 * What has passed through the guests' networks, as metrics of this process. They are sums over all guests: a metric is never forgotten, and
 * one for each instance would be one for each `run`. What one instance has is in its `info`.
 */
import type { NetworkTraffic } from "@aegis/domain"
import { NetworkControl } from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"

const bytes = Metric.counter("aegis_network_bytes", {
  description: "bytes of the guests' frames since their VMs began, by direction",
  incremental: true
})
const flows = Metric.counter("aegis_network_flows", {
  description: "flows of the guests' since their VMs began, by verdict",
  incremental: true
})

const sums = {
  sentBytes: Metric.tagged(bytes, "direction", "sent"),
  receivedBytes: Metric.tagged(bytes, "direction", "received"),
  allowed: Metric.tagged(flows, "verdict", "allowed"),
  refused: Metric.tagged(flows, "verdict", "refused")
}

const kinds = ["sentBytes", "receivedBytes", "allowed", "refused"] as const

/** Adds what passes through a network to the sums: now and then while the scope is open, and at its end. */
export const measure = (controlSocket: string) =>
  Effect.gen(function* () {
    let before: Pick<NetworkTraffic, (typeof kinds)[number]> = {
      sentBytes: 0,
      receivedBytes: 0,
      allowed: 0,
      refused: 0
    }
    // One that does not answer is asked again.
    const look = NetworkControl.traffic(controlSocket).pipe(
      Effect.flatMap((now) =>
        Effect.suspend(() => {
          const last = before
          before = now
          return Effect.forEach(kinds, (kind) => Metric.incrementBy(sums[kind], Math.max(0, now[kind] - last[kind])), {
            discard: true
          })
        })
      ),
      Effect.ignore
    )
    // Whoever closes the scope may have been interrupted: that must end this look alone, and one that hangs holds nobody up.
    yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(look), "1 second"))
    yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced("15 seconds")))
  })
