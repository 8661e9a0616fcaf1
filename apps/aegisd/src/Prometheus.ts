/**
 * All metrics of Effect as Prometheus reads them (text format 0.0.4): whoever counts anything anywhere in the daemon is seen here.
 */
import * as Metric from "effect/Metric"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"

type Labels = ReadonlyArray<readonly [name: string, value: string]>

interface Sample {
  /** What follows the metric's name, such as `_sum`. */
  readonly suffix: string
  readonly labels: Labels
  readonly value: number | bigint
}

/** Names as the format allows them. */
const spelled = (name: string) => name.replaceAll(/[^a-zA-Z0-9_:]/g, "_").replace(/^(?=\d)/, "_")

const quoted = (value: string) => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

const number = (value: number | bigint) => (value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value))

const sample = (name: string, { labels, suffix, value }: Sample) => {
  const inner = labels.map(([key, text]) => `${spelled(key)}="${quoted(text)}"`).join(",")
  return `${name}${suffix}${inner === "" ? "" : `{${inner}}`} ${number(value)}`
}

/** The kind of a metric's state, and its samples. */
const read = (state: MetricState.MetricState.Untyped): { readonly kind: string; readonly samples: Array<Sample> } => {
  const one = (value: number | bigint, labels: Labels = [], suffix = ""): Sample => ({ suffix, labels, value })
  if (MetricState.isCounterState(state)) return { kind: "counter", samples: [one(state.count)] }
  if (MetricState.isGaugeState(state)) return { kind: "gauge", samples: [one(state.value)] }
  if (MetricState.isFrequencyState(state)) {
    return { kind: "counter", samples: [...state.occurrences].map(([key, count]) => one(count, [["key", key]])) }
  }
  const ends = (of: { readonly sum: number; readonly count: number }) => [
    one(of.sum, [], "_sum"),
    one(of.count, [], "_count")
  ]
  if (MetricState.isHistogramState(state)) {
    const buckets = state.buckets.filter(([bound]) => Number.isFinite(bound))
    const samples = [...buckets, [Infinity, state.count] as const].map(([bound, count]) =>
      one(count, [["le", number(bound)]], "_bucket")
    )
    return { kind: "histogram", samples: [...samples, ...ends(state)] }
  }
  if (MetricState.isSummaryState(state)) {
    const samples = state.quantiles.map(([quantile, value]) =>
      one(
        Option.getOrElse(value, () => NaN),
        [["quantile", number(quantile)]]
      )
    )
    return { kind: "summary", samples: [...samples, ...ends(state)] }
  }
  return { kind: "untyped", samples: [] }
}

/** The text of a snapshot, each metric with its description and its kind once. */
export const prometheusText = (snapshot: ReadonlyArray<MetricPair.MetricPair.Untyped>): string => {
  const metrics = new Map<string, Array<string>>()
  for (const { metricKey, metricState } of snapshot) {
    const name = spelled(metricKey.name)
    const { kind, samples } = read(metricState)
    const help = Option.match(metricKey.description, {
      onNone: () => [],
      onSome: (text) => [`# HELP ${name} ${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`]
    })
    const lines = metrics.get(name) ?? [...help, `# TYPE ${name} ${kind}`]
    const tags: Labels = metricKey.tags.map(({ key, value }) => [key, value])
    lines.push(...samples.map((one) => sample(name, { ...one, labels: [...tags, ...one.labels] })))
    metrics.set(name, lines)
  }
  const sorted = [...metrics].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return sorted.map(([, lines]) => `${lines.join("\n")}\n`).join("")
}

/** The metrics as they are now. */
export const metrics = () => prometheusText(Metric.unsafeSnapshot())
