/**
 * An instance as the daemon keeps it, and the one function that makes it from events.
 */
import {
  EndReason,
  EventCause,
  type EventData,
  type Handle,
  InstanceId,
  InstanceSpec,
  InstanceState,
  type JournalEvent,
  Keepalive,
  PortBinding,
  VmRecord
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Match from "effect/Match"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

export class InstanceRecord extends Schema.Class<InstanceRecord>("InstanceRecord")({
  id: InstanceId,
  state: InstanceState,
  spec: InstanceSpec,
  image: Schema.optional(Schema.String),
  workspace: Schema.optional(Schema.String),
  ports: Schema.Array(PortBinding),
  /** Where its VM is to be found; none when it has none. */
  vm: Schema.optional(VmRecord),
  /** The number of the last guest event that is dealt with: an adopted VM's channel goes on behind it. */
  cursor: Schema.optional(Schema.Int),
  createdAt: Schema.DateTimeUtc,
  startedAt: Schema.optional(Schema.DateTimeUtc),
  stoppedAt: Schema.optional(Schema.DateTimeUtc),
  lastActiveAt: Schema.DateTimeUtc,
  ended: Schema.optional(EndReason),
  /** Who paused it, as long as it is paused. */
  pausedBy: Schema.optional(EventCause),
  /** Until when idling leaves it alone; of its present life. */
  keepalive: Schema.optional(Keepalive),
  wakeUpsSuspended: Schema.Boolean
}) {
  get handle(): Handle | undefined {
    return this.spec.handle
  }
}

/**
 * A record of parts that are decoded already: the class would check them all again, which takes 300 µs. A field that is undefined is
 * left out, so that equal records are equal however they came about.
 */
export const trusted = (fields: ConstructorParameters<typeof InstanceRecord>[0]): InstanceRecord => {
  const record = new InstanceRecord(fields, true)
  for (const name of Object.keys(record)) {
    if (Reflect.get(record, name) === undefined) Reflect.deleteProperty(record, name)
  }
  return record
}

/** What can happen to an instance between its creation and the end of its record. */
export type InstanceChange = Exclude<
  EventData,
  {
    readonly _tag:
      | "InstanceCreated"
      | "InstanceDeleted"
      | "InstancePruned"
      | "SecretsSet"
      | "SecretDeleted"
      | "SecretKeyRotated"
      | "WorkspaceRemoved"
      | "DaemonStarted"
      | "DaemonStopped"
      | "Unreadable"
  }
>

/**
 * The record after an event; none when there is none. Whether the event may happen in that state is the state machine's matter:
 * this follows whatever was written.
 */
export const after = (record: Option.Option<InstanceRecord>, event: JournalEvent): Option.Option<InstanceRecord> => {
  const { at, data, instanceId } = event
  if (instanceId === undefined) return record
  if (data._tag === "InstanceCreated") {
    return Option.some(
      trusted({
        id: instanceId,
        state: "starting",
        spec: data.spec,
        image: data.image,
        workspace: data.workspace,
        ports: [],
        createdAt: at,
        lastActiveAt: at,
        wakeUpsSuspended: false
      })
    )
  }
  return Option.flatMap(record, (before) => {
    const changed = (fields: Partial<typeof InstanceRecord.Type>) => Option.some(trusted({ ...before, ...fields }))
    const active = DateTime.max(before.lastActiveAt, at)
    return Match.value(data).pipe(
      Match.tags({
        StartRequested: () =>
          changed({
            state: "starting",
            startedAt: undefined,
            stoppedAt: undefined,
            ended: undefined,
            pausedBy: undefined,
            keepalive: undefined,
            vm: undefined,
            cursor: undefined,
            lastActiveAt: active,
            // A person's start is what a suspension waits for.
            wakeUpsSuspended: event.cause._tag === "Router" && before.wakeUpsSuspended
          }),
        InstanceStarted: ({ vm }) => changed({ state: "running", vm, startedAt: at, lastActiveAt: active }),
        InstancePaused: () => changed({ state: "paused", pausedBy: event.cause }),
        InstanceResumed: () => changed({ state: "running", pausedBy: undefined, lastActiveAt: active }),
        InstanceAdopted: ({ paused, vm }) =>
          changed({ state: paused ? "paused" : "running", pausedBy: paused ? before.pausedBy : undefined, vm }),
        InstanceEnded: ({ reason }) =>
          changed({
            state: "stopped",
            ended: reason,
            stoppedAt: at,
            pausedBy: undefined,
            keepalive: undefined,
            vm: undefined,
            cursor: undefined
          }),
        NetworkChanged: ({ policy }) => changed({ spec: new InstanceSpec({ ...before.spec, network: policy }, true) }),
        KeepaliveGiven: ({ keepalive }) => changed({ keepalive, lastActiveAt: active }),
        KeepaliveEnded: () => changed({ keepalive: undefined }),
        PortsAssigned: ({ ports }) => changed({ ports }),
        PortExposed: ({ exposure, host }) => {
          const { exposes, ports } = without(before, exposure.port)
          const binding = new PortBinding({ guest: exposure.port, host, protocol: exposure.protocol })
          return changed({ spec: exposing(before.spec, [...exposes, exposure]), ports: [...ports, binding] })
        },
        PortUnexposed: ({ port }) => {
          const { exposes, ports } = without(before, port)
          return changed({ spec: exposing(before.spec, exposes), ports })
        },
        WakeUpsSuspended: () => changed({ wakeUpsSuspended: true }),
        InstanceDeleted: () => Option.none<InstanceRecord>(),
        InstancePruned: () => Option.none<InstanceRecord>()
      }),
      Match.orElse(() => record)
    )
  })
}

const exposing = (spec: InstanceSpec, exposes: InstanceSpec["exposes"]) => new InstanceSpec({ ...spec, exposes }, true)

/** What it exposes beside this port. */
const without = ({ ports, spec }: InstanceRecord, port: number) => ({
  exposes: spec.exposes.filter((exposure) => exposure.port !== port),
  ports: ports.filter(({ guest }) => guest !== port)
})
