/**
 * The chain of causes behind an instance's present state, in sentences, for `aegis why`.
 */
import {
  type EndReason,
  type EventCause,
  type GivenSecret,
  type JournalEvent,
  networkPolicyText,
  refusedFlowText
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Match from "effect/Match"
import * as Option from "effect/Option"
import { after, type InstanceRecord } from "./InstanceRecord.ts"

/**
 * Explains an instance from its events, oldest first: its state and the reason for it, then each step since it was last started,
 * then what came before that in one sentence. None for no events. Holds no value of its environment.
 */
export const why = (events: ReadonlyArray<JournalEvent>): ReadonlyArray<string> => {
  const [first] = events
  if (first === undefined) return []
  const record = events.reduce(after, Option.none<InstanceRecord>())
  const from = Math.max(
    0,
    events.findLastIndex(({ data }) => data._tag === "InstanceCreated" || data._tag === "StartRequested")
  )
  const steps = events.slice(from)
  return [
    state(nameOf(first), record, steps),
    ...steps.flatMap((event) => {
      const text = step(event, steps)
      return text === undefined ? [] : [`${clock(event.at)} ${text}`]
    }),
    ...past(events.slice(0, from))
  ]
}

const nameOf = ({ data, instanceId }: JournalEvent) => {
  const handle = data._tag === "InstanceCreated" ? data.spec.handle : undefined
  return handle === undefined ? `${instanceId}` : `${handle} (${instanceId})`
}

const clock = (at: DateTime.Utc) => DateTime.formatIso(at).replace(/\.\d+Z$/, "Z")

const state = (name: string, record: Option.Option<InstanceRecord>, steps: ReadonlyArray<JournalEvent>): string => {
  const last = steps.findLast(({ data }) =>
    ["InstancePaused", "InstanceResumed", "InstanceDeleted", "InstancePruned", "InstanceAdopted"].includes(data._tag)
  )
  if (Option.isNone(record)) {
    const how = last?.data._tag === "InstancePruned" ? "pruned" : "deleted"
    return `${name} is no more: it was ${how}${last === undefined ? "" : ` by ${by(last.cause)}`}.`
  }
  const { ended, wakeUpsSuspended } = record.value
  switch (record.value.state) {
    case "stopped": {
      const end = steps.findLast(({ data }) => data._tag === "InstanceEnded")
      const reason =
        ended === undefined || end === undefined ? "nobody wrote down why" : ending(ended, asked(steps, end))
      return `${name} is stopped: ${reason}.${wakeUpsSuspended ? " Connections do not wake it until it is started by hand." : ""}`
    }
    case "paused":
      return `${name} is paused${last?.data._tag === "InstancePaused" ? ` by ${by(last.cause)}` : ""}.`
    case "starting":
      return `${name} is starting${steps[0] === undefined ? "" : `: ${by(steps[0].cause)} asked for it`}.`
    case "running":
      return `${name} is running.`
  }
}

/** Who asked for an end: the request before it, or whoever wrote it. */
const asked = (steps: ReadonlyArray<JournalEvent>, end: JournalEvent): EventCause =>
  steps.findLast(({ data, seq }) => data._tag === "StopRequested" && seq < end.seq)?.cause ?? end.cause

const step = (event: JournalEvent, steps: ReadonlyArray<JournalEvent>): string | undefined => {
  const { cause, data } = event
  return Match.value(data).pipe(
    Match.tagsExhaustive({
      InstanceCreated: ({ image, spec }) =>
        `${by(cause)} created it to run ${oneLine(spec.command.join(" "))}${image === undefined ? "" : ` from ${oneLine(image)}`}.`,
      StartRequested: () => `${by(cause)} started it again.`,
      InstanceStarted: ({ bootMillis }) =>
        `Its guest answered after ${Math.round(bootMillis)} ms and runs its command.`,
      InstancePaused: () => `${by(cause)} paused it.`,
      InstanceResumed: () => `${by(cause)} resumed it.`,
      StopRequested: ({ graceSeconds }) => `${by(cause)} asked it to stop within ${span(graceSeconds)}.`,
      InstanceEnded: ({ reason }) => `It ended: ${ending(reason, asked(steps, event))}${life(event, steps)}.`,
      InstanceDeleted: () => `${by(cause)} deleted it.`,
      InstancePruned: ({ stoppedForSeconds }) =>
        `${by(cause)} pruned it: it had been stopped for ${span(stoppedForSeconds)}.`,
      PortsAssigned: ({ ports }) =>
        ports.length === 0
          ? "No port of the host leads to it any more."
          : `These ports lead to it: ${ports.map(({ guest, host, protocol }) => `${host} to its ${guest} (${protocol})`).join(", ")}.`,
      PortExposed: ({ exposure: { port, protocol }, host }) =>
        `${by(cause)} exposed its port ${port}: ${host} leads to it (${protocol}).`,
      PortUnexposed: ({ port }) => `${by(cause)} unexposed its port ${port}.`,
      InstanceAdopted: ({ paused, vm }) =>
        `The daemon started anew, found its VM ${paused ? "paused" : "running"} as process ${vm.pid}, and went on with it.`,
      WakeUpsSuspended: ({ ends, withinSeconds }) =>
        `It had ended ${ends} times within ${span(withinSeconds)}: connections do not wake it until it is started by hand.`,
      FlowsRefused: () =>
        event === steps.findLast(({ data: { _tag } }) => _tag === "FlowsRefused") ? refusals(steps) : undefined,
      FlowsEnded: () => undefined,
      NetworkCrashed: ({ count, down, why }) =>
        `Its network crashed${count === 1 ? "" : ` ${count} times`} (${oneLine(why)}) and ${down === true ? "stays down until it is started again" : "was started anew"}.`,
      NetworkChanged: ({ policy }) => `${by(cause)} changed its network: ${oneLine(networkPolicyText(policy))}.`,
      KeepaliveGiven: ({ keepalive: { reason, until } }) =>
        `${by(cause)} keeps it from idling until ${clock(until)}${reason === undefined ? "" : `: ${oneLine(reason)}`}.`,
      KeepaliveEnded: () => `${by(cause)} lets it idle again.`,
      SecretsGiven: ({ secrets }) =>
        `Its guest was given ${secrets.length === 1 ? "the secret" : "the secrets"} ${oneLine(secrets.map(given).join(", "))}.`,
      SecretsSet: () => undefined,
      SecretDeleted: () => undefined,
      SecretKeyRotated: () => undefined,
      WorkspaceRemoved: () => undefined,
      DaemonStarted: () => undefined,
      DaemonStopped: () => undefined,
      Unreadable: () => "Something happened that this version cannot read."
    }),
    (text) => (text === undefined ? undefined : capital(text))
  )
}

/** All that its network refused, in one sentence at the time of the last. */
const refusals = (steps: ReadonlyArray<JournalEvent>) => {
  const reports = steps.flatMap(({ data }) => (data._tag === "FlowsRefused" ? [data] : []))
  const flows = reports.flatMap((report) => report.flows)
  const total = reports.reduce(
    (sum, { more }) => sum + more,
    flows.reduce((sum, { count }) => sum + count, 0)
  )
  const last = flows.slice(-3).map((flow) => oneLine(refusedFlowText(flow)))
  return `Its network has refused ${total} ${total === 1 ? "flow" : "flows"}${total > last.length ? ", the last of them" : ""}: ${last.join("; ")}.`
}

const given = ({ name, variable }: GivenSecret) => (name === variable ? name : `${name} as ${variable}`)

const life = (end: JournalEvent, steps: ReadonlyArray<JournalEvent>) => {
  const began = steps.find(({ data }) => data._tag === "InstanceStarted")
  if (began === undefined) return ""
  return `, ${span((end.at.epochMillis - began.at.epochMillis) / 1000)} after its command began`
}

const past = (before: ReadonlyArray<JournalEvent>): ReadonlyArray<string> => {
  const ends = before.filter(({ data }) => data._tag === "InstanceEnded")
  const last = ends.at(-1)
  if (last === undefined || last.data._tag !== "InstanceEnded") return []
  const times = ends.length === 1 ? "once" : `${ends.length} times`
  return [`Before that it ended ${times}, last at ${clock(last.at)}: ${ending(last.data.reason, asked(before, last))}.`]
}

/** Completes "it was stopped by …". */
const by = (cause: EventCause): string =>
  Match.value(cause).pipe(
    Match.tagsExhaustive({
      Cli: ({ command }) => `aegis ${oneLine(command)}`,
      Mcp: ({ tool }) => `an MCP client (tool ${oneLine(tool)})`,
      Program: ({ name }) => (name === undefined ? "a program" : `the program ${oneLine(name)}`),
      Rest: ({ route }) => `a REST client (${oneLine(route)})`,
      Router: ({ port }) => `a connection to its port ${port}`,
      IdleTimer: ({ evidence, idleSeconds }) =>
        `the idle timer (nothing had happened for ${span(idleSeconds)}${evidence === undefined ? "" : `: ${oneLine(evidence)}`})`,
      Guest: () => "the guest",
      Recovery: ({ found }) => `the daemon as it started (${oneLine(found)})`,
      Daemon: ({ because }) => `the daemon (${oneLine(because)})`,
      Unknown: () => "somebody this version does not know"
    })
  )

/** How it ended, as half a sentence. */
const ending = (reason: EndReason, cause: EventCause): string =>
  Match.value(reason).pipe(
    Match.tagsExhaustive({
      Exited: ({ code }) =>
        code === 0 ? "its command was done (exit code 0)" : `its command exited with code ${code}`,
      Signaled: ({ outOfMemory, signal }) =>
        outOfMemory
          ? `the guest ran out of memory and killed its command (signal ${signal}); --memory gives it more`
          : `its command was killed by signal ${signal} inside the guest`,
      Stopped: () => `it was stopped by ${by(cause)}`,
      Idle: () => `it was stopped by ${by(cause)}: nothing had happened in it`,
      HostLost: ({ reason: how }) => `it was lost: ${oneLine(how)}`,
      VmDied: ({ cause: how, consoleTail }) => {
        const found = cause._tag === "Recovery" ? `, as the daemon found when it started (${oneLine(cause.found)})` : ""
        return `its VM died: ${oneLine(how)}${found}${lastWords(consoleTail)}`
      },
      ChannelLost: ({ reason: how }) => `the connection to its guest was lost and the VM was ended: ${oneLine(how)}`,
      NotStarted: ({ code, message }) => `it did not start: ${oneLine(message)} (${code})`
    })
  )

const lastWords = (consoleTail: string) => {
  const line = consoleTail.split(/[\r\n]+/).findLast((text) => text.trim() !== "")
  return line === undefined ? "" : `; its console said last: ${oneLine(line)}`
}

const maxText = 200

/** Guests and images choose these texts: no control character reaches the terminal, and none is endless. */
const oneLine = (text: string): string => {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ").trim()
  return clean.length > maxText ? `${clean.slice(0, maxText)}…` : clean
}

const capital = (text: string) => (text.startsWith("aegis ") ? text : text.charAt(0).toUpperCase() + text.slice(1))

/** A clock that was set back makes no negative time. */
const span = (seconds: number): string => {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 120) return `${whole} s`
  if (whole < 7200) return `${Math.round(whole / 60)} min`
  return whole < 172_800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86_400)} days`
}
