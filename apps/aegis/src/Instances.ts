/**
 * How instances are shown: as a table, in full, and as JSON with the field names of the REST API.
 */
import { restTime } from "@aegis/contract"
import { RestInstance, restInstance } from "@aegis/contract/shapes"
import {
  type EndReason,
  type Instance,
  type Keepalive,
  networkPolicyText,
  type NetworkTraffic,
  type PortBinding,
  secretRequestText
} from "@aegis/domain"
import * as Match from "effect/Match"
import * as Schema from "effect/Schema"
import { escapeLine } from "./Escape.ts"
import { formatBytes } from "./ImageText.ts"

/** Four columns, 30, 15, 10 and 20 wide (S-094, S-095), or `No instances` (S-099). */
export const instanceTable = (instances: ReadonlyArray<Instance>): string => {
  if (instances.length === 0) return "No instances\n"
  return tableHeader + instances.map((instance) => tableRow(instance)).join("")
}

const row = (id: string, handle: string, state: string, stoppedAt: string) =>
  `${id.padEnd(30)} ${handle.padEnd(15)} ${state.padEnd(10)} ${stoppedAt.padEnd(20)}\n`

export const tableHeader = row("ID", "HANDLE", "STATE", "STOPPED AT")

/** One instance's line; `state` says something else than its own, such as `deleted`. */
export const tableRow = (
  { handle, id, stoppedAt, ...instance }: Pick<Instance, "id" | "handle" | "state" | "stoppedAt">,
  state: string = instance.state
): string => row(id, escapeLine(handle ?? "-"), state, stoppedAt === undefined ? "-" : restTime(stoppedAt))

/** One line for each thing known, values from column 13 on (S-102, S-103). */
export const instanceDetails = (instance: Instance): string => {
  const line = (label: string, value: string | undefined) =>
    value === undefined ? "" : `${`${label}:`.padEnd(13)}${escapeLine(value)}\n`
  const exposed = instance.endpoints.length > 0
  return [
    line("ID", instance.id),
    line("State", instance.state),
    line("Handle", instance.handle),
    line("Image", instance.image),
    line("Command", instance.command.join(" ")),
    line("Ports", exposed ? instance.endpoints.map(({ guest }) => guest).join(", ") : undefined),
    exposed ? `Endpoints:\n${instance.endpoints.map(endpointLine).join("")}` : "",
    line("Connections", exposed || instance.connections > 0 ? String(instance.connections) : undefined),
    line("Keepalive", instance.keepalive === undefined ? undefined : keepaliveText(instance.keepalive)),
    line("Created", restTime(instance.createdAt)),
    line("Last Active", restTime(instance.lastActiveAt)),
    line("Secrets", instance.secrets?.map(secretRequestText).join(", ")),
    line("Network", instance.network === undefined ? undefined : networkPolicyText(instance.network)),
    line("Traffic", instance.traffic === undefined ? undefined : trafficText(instance.traffic)),
    line("Memory", `${instance.memoryMib} MiB`),
    line("CPUs", String(instance.vcpus)),
    line("Workspace", instance.workspace),
    line("Shared with", instance.sharesWorkspaceWith?.join(", ")),
    line("Started", instance.startedAt === undefined ? undefined : restTime(instance.startedAt)),
    line("Stopped At", instance.stoppedAt === undefined ? undefined : restTime(instance.stoppedAt)),
    line("Ended", instance.ended === undefined ? undefined : describeEnd(instance.ended))
  ].join("")
}

const trafficText = (traffic: NetworkTraffic): string =>
  [
    `sent ${formatBytes(traffic.sentBytes)} in ${traffic.sentPackets} ${traffic.sentPackets === 1 ? "packet" : "packets"}`,
    `received ${formatBytes(traffic.receivedBytes)} in ${traffic.receivedPackets}`,
    `${traffic.allowed} flows allowed, ${traffic.refused} refused`
  ].join("; ")

const keepaliveText = ({ reason, until }: Keepalive) =>
  `until ${restTime(until)}${reason === undefined ? "" : `: ${reason}`}`

/** S-105. */
const endpointLine = ({ guest, host, protocol }: PortBinding) => `  :${guest} → :${host} (${protocol})\n`

/** How it ended, in words. */
export const describeEnd: (reason: EndReason) => string = Match.type<EndReason>().pipe(
  Match.tagsExhaustive({
    Exited: ({ code }) => `exit code ${code}`,
    Signaled: ({ outOfMemory, signal }) => `signal ${signal}${outOfMemory ? " (out of memory)" : ""}`,
    Stopped: () => "stopped",
    Idle: () => "stopped: it was idle",
    VmDied: ({ cause }) => `the machine died: ${cause}`,
    ChannelLost: ({ reason }) => `connection lost: ${reason}`,
    HostLost: ({ reason }) => `lost with its host: ${reason}`,
    NotStarted: ({ message }) => `not started: ${message}`
  })
)

/** The instance as the REST API shows it (D-23). */
export const instanceJson = (instance: Instance, router?: string): typeof RestInstance.Encoded =>
  Schema.encodeSync(RestInstance)(restInstance(instance, router))
