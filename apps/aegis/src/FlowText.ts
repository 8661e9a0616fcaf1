/**
 * The flows of a guest's network as a person reads them, and as documents.
 */
import { type EndedFlow, type EventData, flowPlace, refusedFlowText, type UnnamedFlows } from "@aegis/domain"
import { formatBytes } from "./ImageText.ts"

/** `tcp example.com 93.184.216.34:443, sent 1.2 kB, received 5.2 MB in 1.3 s`. */
export const endedFlowText = (flow: EndedFlow): string => {
  const took = flow.millis < 1000 ? `${flow.millis} ms` : `${(flow.millis / 1000).toFixed(1)} s`
  const times = flow.count === 1 ? "" : ` at the most, ${flow.count} times`
  return `${flow.protocol} ${flowPlace(flow)}, ${bytesOf(flow)} in ${took}${times}`
}

/** `7 more flows, sent 1.2 kB, received 5.2 MB`. */
export const unnamedFlowsText = (flows: UnnamedFlows): string =>
  `${flows.count} more ${flows.count === 1 ? "flow" : "flows"}, ${bytesOf(flows)}`

const bytesOf = ({ receivedBytes, sentBytes }: Pick<UnnamedFlows, "receivedBytes" | "sentBytes">) =>
  `sent ${formatBytes(sentBytes)}, received ${formatBytes(receivedBytes)}`

/** What an event says of flows, one line each. */
export const flowLines = (data: EventData): ReadonlyArray<string> => {
  if (data._tag === "FlowsRefused") {
    const lines = data.flows.map((flow) => `refused ${refusedFlowText(flow)}`)
    return data.more === 0 ? lines : [...lines, `refused ${data.more} more`]
  }
  if (data._tag !== "FlowsEnded") return []
  const lines = data.flows.map((flow) => `allowed ${endedFlowText(flow)}`)
  return data.more === undefined ? lines : [...lines, `allowed ${unnamedFlowsText(data.more)}`]
}

/** The same as documents; `more` is how many a document stands for that are not named. */
export const flowDocuments = (data: EventData): ReadonlyArray<object> => {
  if (data._tag === "FlowsRefused") {
    const verdict = "refuse"
    const named = data.flows.map((flow) => ({ verdict, ...flow }))
    return data.more === 0 ? named : [...named, { verdict, more: data.more }]
  }
  if (data._tag !== "FlowsEnded") return []
  const verdict = "allow"
  const named = data.flows.map(({ receivedBytes, sentBytes, ...flow }) => ({
    verdict,
    ...flow,
    sent_bytes: sentBytes,
    received_bytes: receivedBytes
  }))
  if (data.more === undefined) return named
  const { count, receivedBytes, sentBytes } = data.more
  return [...named, { verdict, more: count, sent_bytes: sentBytes, received_bytes: receivedBytes }]
}
