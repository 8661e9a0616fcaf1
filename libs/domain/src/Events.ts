/**
 * What the journal holds: everything the runtime did, who asked for it, and a hash that ties each row to the one before it.
 */
import * as Schema from "effect/Schema"
import { Exposure, PortBinding, PortNumber } from "./Exposure.ts"
import { InstanceId, WorkspaceName } from "./Ids.ts"
import { Keepalive } from "./Keepalive.ts"
import { EndedFlow, UnnamedFlows } from "./network/EndedFlow.ts"
import { NetworkCrash } from "./network/NetworkCrash.ts"
import { NetworkPolicy } from "./network/NetworkPolicy.ts"
import { RefusedFlow } from "./network/RefusedFlow.ts"
import { EventCause } from "./EventCause.ts"
import { EndReason } from "./EndReason.ts"
import { InstanceSpec, withBlankEnvironment } from "./Instance.ts"

/** How to find a VM again that outlives its daemon: its process, told from a later one by its start time, and what its backend needs. */
export class VmRecord extends Schema.Class<VmRecord>("VmRecord")({
  pid: Schema.Int,
  pidStartTime: Schema.String,
  /** The backend's own, opaque to everybody else: run directory, sockets, companions. */
  detail: Schema.Unknown
}) {}

/** An instance is recorded; it is being started. Of its environment only the names are written down: events are kept for ever. */
export class InstanceCreated extends Schema.TaggedClass<InstanceCreated>()("InstanceCreated", {
  spec: InstanceSpec,
  image: Schema.optional(Schema.String),
  workspace: Schema.optional(Schema.String)
}) {}
/** A stopped instance is being started again. */
export class StartRequested extends Schema.TaggedClass<StartRequested>()("StartRequested", {}) {}
/** Its guest runs its command. */
export class InstanceStarted extends Schema.TaggedClass<InstanceStarted>()("InstanceStarted", {
  bootMillis: Schema.Number,
  vm: VmRecord
}) {}
/** Its VM's process is stopped (S-133). */
export class InstancePaused extends Schema.TaggedClass<InstancePaused>()("InstancePaused", {}) {}
/** Its VM's process goes on (S-134). */
export class InstanceResumed extends Schema.TaggedClass<InstanceResumed>()("InstanceResumed", {}) {}
/** Its end was asked for; it comes with `InstanceEnded`. */
export class StopRequested extends Schema.TaggedClass<StopRequested>()("StopRequested", {
  graceSeconds: Schema.Number
}) {}
/** Its VM is gone. */
export class InstanceEnded extends Schema.TaggedClass<InstanceEnded>()("InstanceEnded", { reason: EndReason }) {}
/** Its record is gone. */
export class InstanceDeleted extends Schema.TaggedClass<InstanceDeleted>()("InstanceDeleted", {}) {}
/** Its record is gone, since it had been stopped for longer than was asked for (S-138). */
export class InstancePruned extends Schema.TaggedClass<InstancePruned>()("InstancePruned", {
  stoppedForSeconds: Schema.Number
}) {}
/** The host's ports that lead to it from now on; all of them. */
export class PortsAssigned extends Schema.TaggedClass<PortsAssigned>()("PortsAssigned", {
  ports: Schema.Array(PortBinding)
}) {}
/** A port of the host leads to one more of its guest's ports. */
export class PortExposed extends Schema.TaggedClass<PortExposed>()("PortExposed", {
  /** As it was asked for. */
  exposure: Exposure,
  host: PortNumber
}) {}
/** No port of the host leads to this one of its guest any more. */
export class PortUnexposed extends Schema.TaggedClass<PortUnexposed>()("PortUnexposed", { port: PortNumber }) {}
/** A daemon that has just started goes on with a VM that ran when it came. */
export class InstanceAdopted extends Schema.TaggedClass<InstanceAdopted>()("InstanceAdopted", {
  vm: VmRecord,
  paused: Schema.Boolean
}) {}
/** It ended too often too soon: connections do not wake it any more until a person starts it. */
export class WakeUpsSuspended extends Schema.TaggedClass<WakeUpsSuspended>()("WakeUpsSuspended", {
  ends: Schema.Int,
  withinSeconds: Schema.Number
}) {}
/** A secret that a guest was given: under which name, and which of its values by number; never the value. */
export const GivenSecret = Schema.Struct({ name: Schema.String, variable: Schema.String, version: Schema.Int })
export type GivenSecret = typeof GivenSecret.Type

/** Its guest is about to be given these secrets; the cause is whoever asked for the start. */
export class SecretsGiven extends Schema.TaggedClass<SecretsGiven>()("SecretsGiven", {
  secrets: Schema.Array(GivenSecret)
}) {}
/** Secrets were set; each has this version from now on. */
export class SecretsSet extends Schema.TaggedClass<SecretsSet>()("SecretsSet", {
  secrets: Schema.Array(Schema.Struct({ name: Schema.String, version: Schema.Int }))
}) {}
/** A secret was deleted. */
export class SecretDeleted extends Schema.TaggedClass<SecretDeleted>()("SecretDeleted", { name: Schema.String }) {}
/** All secrets were encrypted anew with a new key. */
export class SecretKeyRotated extends Schema.TaggedClass<SecretKeyRotated>()("SecretKeyRotated", {
  secrets: Schema.Int
}) {}
/** A named workspace was removed, with what it took of the disk, in bytes. */
export class WorkspaceRemoved extends Schema.TaggedClass<WorkspaceRemoved>()("WorkspaceRemoved", {
  name: WorkspaceName,
  bytes: Schema.NonNegativeInt
}) {}
/** Its network refused these flows of its guest. */
export class FlowsRefused extends Schema.TaggedClass<FlowsRefused>()("FlowsRefused", {
  flows: Schema.Array(RefusedFlow),
  /** How many refusals beside those. */
  more: Schema.Int
}) {}
/** Its network had let these flows of its guest through, and they are over. Told where the policy says so. */
export class FlowsEnded extends Schema.TaggedClass<FlowsEnded>()("FlowsEnded", {
  flows: Schema.Array(EndedFlow),
  /** Those beside them. */
  more: Schema.optional(UnnamedFlows)
}) {}
/** The process of its network crashed. Another goes on with the guest's link, unless it was one crash too many. */
export class NetworkCrashed extends Schema.TaggedClass<NetworkCrashed>()("NetworkCrashed", NetworkCrash.fields) {}
/** What its network lets through from now on. */
export class NetworkChanged extends Schema.TaggedClass<NetworkChanged>()("NetworkChanged", { policy: NetworkPolicy }) {}
/** Idling neither pauses nor stops it until then; in place of a lease that it had. */
export class KeepaliveGiven extends Schema.TaggedClass<KeepaliveGiven>()("KeepaliveGiven", { keepalive: Keepalive }) {}
/** Its lease is over, or was given back. */
export class KeepaliveEnded extends Schema.TaggedClass<KeepaliveEnded>()("KeepaliveEnded", {}) {}
/** A daemon began to serve. */
export class DaemonStarted extends Schema.TaggedClass<DaemonStarted>()("DaemonStarted", {
  version: Schema.String,
  pid: Schema.Int
}) {}
/** A daemon stopped in order; a killed one leaves no such event. `keptVms` were left running for the next (`down --keep`). */
export class DaemonStopped extends Schema.TaggedClass<DaemonStopped>()("DaemonStopped", { keptVms: Schema.Int }) {}
/** The row is there, and this version cannot read what it says. It is never written. */
export class UnreadableEvent extends Schema.TaggedClass<UnreadableEvent>()("Unreadable", { text: Schema.String }) {}

/** What happened. */
export const EventData = Schema.Union(
  InstanceCreated,
  StartRequested,
  InstanceStarted,
  InstancePaused,
  InstanceResumed,
  StopRequested,
  InstanceEnded,
  InstanceDeleted,
  InstancePruned,
  PortsAssigned,
  PortExposed,
  PortUnexposed,
  InstanceAdopted,
  WakeUpsSuspended,
  FlowsRefused,
  FlowsEnded,
  NetworkCrashed,
  NetworkChanged,
  KeepaliveGiven,
  KeepaliveEnded,
  SecretsGiven,
  SecretsSet,
  SecretDeleted,
  SecretKeyRotated,
  WorkspaceRemoved,
  DaemonStarted,
  DaemonStopped,
  UnreadableEvent
)
export type EventData = typeof EventData.Type

/** SHA-256 in lower-case hexadecimal digits. */
export const EventHash = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/))

/** One row of the journal. `seq` counts from 1 without a gap; `at` is the wall clock's word and may go backwards. */
export class JournalEvent extends Schema.Class<JournalEvent>("JournalEvent")({
  seq: Schema.Int.pipe(Schema.positive()),
  at: Schema.DateTimeUtc,
  instanceId: Schema.optional(InstanceId),
  cause: EventCause,
  data: EventData,
  previousHash: EventHash,
  hash: EventHash
}) {}

/** The same event with the values of its environment blanked out: what may be shown or logged. */
export const withoutEnvironmentValues = (event: JournalEvent): JournalEvent => {
  const { data } = event
  if (data._tag !== "InstanceCreated") return event
  return new JournalEvent({
    ...event,
    data: new InstanceCreated({ ...data, spec: withBlankEnvironment(data.spec, "…") })
  })
}
