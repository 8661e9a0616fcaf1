/**
 * An event of the journal as one line for a person, or as JSON.
 */
import { restTime } from "@aegis/contract"
import { RestEvent, restEvent } from "@aegis/contract/shapes"
import { type EventCause, type EventData, type JournalEvent, networkPolicyText, refusedFlowText } from "@aegis/domain"
import * as Match from "effect/Match"
import * as Schema from "effect/Schema"
import { escapeLine } from "./Escape.ts"
import { endedFlowText, unnamedFlowsText } from "./FlowText.ts"
import { formatBytes } from "./ImageText.ts"
import { describeEnd } from "./Instances.ts"

/** Number, time in UTC, instance, what happened, and who asked for it. */
export const eventLine = ({ at, cause, data, instanceId, seq }: JournalEvent): string =>
  `${String(seq).padStart(6)}  ${restTime(at)}  ${(instanceId ?? "-").padEnd(24)}  ${escapeLine(`${what(data)} (${who(cause)})`)}\n`

/** The event as the REST API shows it (D-23). */
export const eventJson = (event: JournalEvent): typeof RestEvent.Encoded =>
  Schema.encodeSync(RestEvent)(restEvent(event))

const what: (data: EventData) => string = Match.type<EventData>().pipe(
  Match.tagsExhaustive({
    InstanceCreated: ({ image, spec }) =>
      `created${spec.handle === undefined ? "" : ` as ${spec.handle}`}${image === undefined ? "" : ` from ${image}`} to run ${spec.command.join(" ")}`,
    StartRequested: () => "starting again",
    InstanceStarted: ({ bootMillis }) => `running after ${Math.round(bootMillis)} ms`,
    InstancePaused: () => "paused",
    InstanceResumed: () => "resumed",
    StopRequested: ({ graceSeconds }) => `told to stop within ${graceSeconds} s`,
    InstanceEnded: ({ reason }) => `ended: ${describeEnd(reason)}`,
    InstanceDeleted: () => "deleted",
    InstancePruned: ({ stoppedForSeconds }) => `pruned after ${Math.round(stoppedForSeconds)} s stopped`,
    PortsAssigned: ({ ports }) =>
      ports.length === 0
        ? "ports: none"
        : `ports: ${ports.map(({ guest, host, protocol }) => `${host} to ${guest}/${protocol}`).join(", ")}`,
    PortExposed: ({ exposure: { port, protocol }, host }) => `port exposed: ${host} to ${port}/${protocol}`,
    PortUnexposed: ({ port }) => `port ${port} not exposed any more`,
    InstanceAdopted: ({ paused, vm }) => `found ${paused ? "paused" : "running"} as process ${vm.pid}`,
    WakeUpsSuspended: ({ ends, withinSeconds }) =>
      `not woken any more: it ended ${ends} times within ${withinSeconds} s`,
    FlowsRefused: ({ flows, more }) =>
      `refused ${flows.map(refusedFlowText).join("; ")}${more === 0 ? "" : `; and ${more} more`}`,
    FlowsEnded: ({ flows, more }) =>
      `let through ${[...flows.map(endedFlowText), ...(more === undefined ? [] : [unnamedFlowsText(more)])].join("; ")}`,
    NetworkCrashed: ({ count, down, why }) =>
      `network crashed${count === 1 ? "" : ` ${count} times`}: ${why}; ${down === true ? "it stays down until the instance is started again" : "started anew"}`,
    NetworkChanged: ({ policy }) => `network: ${networkPolicyText(policy)}`,
    KeepaliveGiven: ({ keepalive: { reason, until } }) =>
      `kept from idling until ${restTime(until)}${reason === undefined ? "" : `: ${reason}`}`,
    KeepaliveEnded: () => "may idle again",
    SecretsGiven: ({ secrets }) =>
      `given ${secrets.map(({ name, variable, version }) => `${name} (version ${version})${name === variable ? "" : ` as ${variable}`}`).join(", ")}`,
    SecretsSet: ({ secrets }) =>
      `secrets set: ${secrets.map(({ name, version }) => `${name} (version ${version})`).join(", ")}`,
    SecretDeleted: ({ name }) => `secret ${name} deleted`,
    SecretKeyRotated: ({ secrets }) => `master key rotated, ${secrets} secrets encrypted anew`,
    WorkspaceRemoved: ({ bytes, name }) => `workspace ${name} removed, ${formatBytes(bytes)}`,
    DaemonStarted: ({ pid, version }) => `aegisd ${version} started as process ${pid}`,
    DaemonStopped: ({ keptVms }) => `aegisd stopped${keptVms === 0 ? "" : `, ${keptVms} left running`}`,
    Unreadable: ({ text }) => `something that this version cannot read: ${text}`
  })
)

const who: (cause: EventCause) => string = Match.type<EventCause>().pipe(
  Match.tagsExhaustive({
    Cli: ({ command }) => `aegis ${command}`,
    Mcp: ({ tool }) => `MCP tool ${tool}`,
    Program: ({ name }) => (name === undefined ? "a program" : `program ${name}`),
    Rest: ({ route }) => `REST ${route}`,
    Router: ({ port }) => `connection to port ${port}`,
    IdleTimer: ({ evidence, idleSeconds }) =>
      `idle for ${Math.round(idleSeconds)} s${evidence === undefined ? "" : `: ${evidence}`}`,
    Guest: () => "the guest",
    Recovery: ({ found }) => `recovery: ${found}`,
    Daemon: ({ because }) => `aegisd: ${because}`,
    Unknown: ({ text }) => `unknown: ${text}`
  })
)
