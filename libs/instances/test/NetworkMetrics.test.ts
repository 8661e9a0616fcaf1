import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as MetricKey from "effect/MetricKey"
import * as MetricState from "effect/MetricState"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { measure } from "../src/NetworkMetrics.ts"

const key = ({ name, tags }: MetricKey.MetricKey.Untyped): string => `${name} ${tags.map(({ value }) => value).join()}`

/** What the process's counters say, by name and tag. */
const counters = Effect.map(
  Metric.snapshot,
  (pairs) =>
    new Map(
      pairs.flatMap(({ metricKey, metricState }) =>
        MetricState.isCounterState(metricState) && metricKey.name.startsWith("aegis_network_")
          ? [[key(metricKey), Number(metricState.count)] as const]
          : []
      )
    )
)

/** aegis-net's socket, whose counters have grown by 100 at each look. */
const network = Effect.acquireRelease(
  Effect.promise(async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "aegis-metrics-"))
    let looks = 0
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined)
      socket.once("data", () => {
        looks += 1
        const told = {
          sentBytes: 100 * looks,
          sentPackets: 1,
          receivedBytes: 7,
          receivedPackets: 1,
          allowed: looks,
          refused: 0
        }
        socket.write(`${JSON.stringify({ counters: told })}\n`)
      })
    })
    const socket = path.join(directory, "network.sock")
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    return { directory, server, socket, looks: () => looks }
  }),
  ({ directory, server }) =>
    Effect.sync(() => {
      server.close()
      rmSync(directory, { recursive: true })
    })
)

describe("NetworkMetrics", () => {
  it.scopedLive("what passes is added to the sums as it grows, and the rest when its VM ends", () =>
    Effect.gen(function* () {
      const { looks, socket } = yield* network
      const before = yield* counters
      const grown = (name: string) => Effect.map(counters, (now) => (now.get(name) ?? 0) - (before.get(name) ?? 0))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* measure(socket)
          yield* Effect.repeat(grown("aegis_network_bytes sent"), {
            until: (bytes) => bytes === 100,
            schedule: Schedule.spaced("5 millis")
          })
        })
      )
      assert.strictEqual(looks(), 2)
      assert.strictEqual(yield* grown("aegis_network_bytes sent"), 200)
      assert.strictEqual(yield* grown("aegis_network_bytes received"), 7)
      assert.strictEqual(yield* grown("aegis_network_flows allowed"), 2)
      assert.strictEqual(yield* grown("aegis_network_flows refused"), 0)
    })
  )

  it.scopedLive("the rest is added by a fiber that has been interrupted, too, and its work goes on behind it", () =>
    Effect.gen(function* () {
      const { looks, socket } = yield* network
      let wentOn = false
      const scope = yield* Scope.make()
      yield* Scope.extend(measure(socket), scope)
      yield* Effect.repeat(
        Effect.sync(() => looks()),
        { until: (count) => count === 1, schedule: Schedule.spaced("5 millis") }
      )
      const life = yield* Effect.fork(
        Effect.uninterruptibleMask((restore) =>
          Effect.exit(restore(Effect.never)).pipe(
            Effect.zipRight(Scope.close(scope, Exit.void)),
            Effect.zipRight(Effect.sync(() => (wentOn = true)))
          )
        )
      )
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(life)
      assert.deepStrictEqual([wentOn, looks()], [true, 2])
    })
  )
})
