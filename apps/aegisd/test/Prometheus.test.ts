import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import { prometheusText } from "../src/Prometheus.ts"

describe("metrics in Prometheus's text format", () => {
  it.effect("each kind has its form, labels are quoted, names are spelled as they may be", () =>
    Effect.gen(function* () {
      const counter = Metric.counter("test.requests-total", { description: "How many\ncame.", incremental: true })
      yield* Metric.update(Metric.tagged(counter, "who", 'a "b" \\ c\nd'), 2)
      yield* Metric.update(Metric.tagged(counter, "who", "e"), 1)
      yield* Metric.set(Metric.gauge("test_open"), 1.5)
      yield* Metric.update(Metric.frequency("test_words"), "once")
      const seconds = Metric.histogram("test_seconds", MetricBoundaries.fromIterable([1, 5]))
      for (const value of [0.5, 2, 9]) yield* Metric.update(seconds, value)
      const summary = Metric.summary({ name: "test_sizes", maxAge: "1 hour", maxSize: 10, error: 0, quantiles: [0.5] })
      yield* Metric.update(summary, 4)
      const all = (yield* Metric.snapshot).filter(({ metricKey: { name } }) => name.startsWith("test"))
      assert.deepStrictEqual(prometheusText(all).split("\n"), [
        "# TYPE test_open gauge",
        "test_open 1.5",
        "# HELP test_requests_total How many\\ncame.",
        "# TYPE test_requests_total counter",
        'test_requests_total{who="a \\"b\\" \\\\ c\\nd"} 2',
        'test_requests_total{who="e"} 1',
        "# TYPE test_seconds histogram",
        'test_seconds_bucket{le="1"} 1',
        'test_seconds_bucket{le="5"} 2',
        'test_seconds_bucket{le="+Inf"} 3',
        "test_seconds_sum 11.5",
        "test_seconds_count 3",
        "# TYPE test_sizes summary",
        'test_sizes{quantile="0.5"} 4',
        "test_sizes_sum 4",
        "test_sizes_count 1",
        "# TYPE test_words counter",
        'test_words{key="once"} 1',
        ""
      ])
    })
  )
})
