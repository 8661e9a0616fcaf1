/**
 * Instances and events as REST shows them; the CLI's `--json` has the same form (contract D-17, D-23).
 */
import {
  Command,
  EndpointUse,
  EndReason,
  EventCause,
  EventData,
  Handle,
  Instance,
  InstanceId,
  InstanceState,
  type JournalEvent,
  MemoryMib,
  PortBinding,
  SecretRequestText,
  VcpuCount
} from "@aegis/domain"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { RestNetwork, restNetwork, RestTraffic, restTraffic } from "./RestNetwork.ts"
import { restTime } from "./SpokenTime.ts"

const { received, sent, ...counted } = EndpointUse.fields

const RestEndpointUse = Schema.Struct({ ...counted, received_bytes: received, sent_bytes: sent })

export class RestInstance extends Schema.Class<RestInstance>("RestInstance")({
  id: InstanceId,
  handle: Schema.optional(Handle),
  state: InstanceState,
  image_ref: Schema.optional(Schema.String),
  command: Command,
  /** The secrets that it is given, by name. */
  secrets: Schema.optional(Schema.Array(SecretRequestText)),
  created_at: Schema.String,
  started_at: Schema.optional(Schema.String),
  last_active_at: Schema.String,
  stopped_at: Schema.optional(Schema.String),
  memory_mb: MemoryMib,
  vcpus: VcpuCount,
  /** What its network lets through. */
  network: Schema.optional(RestNetwork),
  /** What has passed through it since its VM began; of one that is asked for by itself. */
  traffic: Schema.optional(RestTraffic),
  /** The real path on the host that the guest sees at /workspace. */
  workspace: Schema.optional(Schema.String),
  /** The other instances that have the same directory, by handle or id; of one that is asked for by itself. */
  workspace_shared_with: Schema.optional(Schema.Array(Schema.String)),
  /** The guest's ports. */
  expose_ports: Schema.Array(Schema.Int),
  /** The host's ports that lead to them. */
  endpoints: Schema.Array(PortBinding),
  /** What has come by them since the daemon began to serve them; of those that were used, and of one that is asked for by itself. */
  endpoint_uses: Schema.optional(Schema.Array(RestEndpointUse)),
  active_connections: Schema.Int,
  /** Until when idling leaves it alone, and why; RFC 3339 in UTC. */
  keepalive: Schema.optional(Schema.Struct({ until: Schema.String, reason: Schema.optional(Schema.String) })),
  /** Where the HTTP router serves it; in the answer to a start. */
  router_addr: Schema.optional(Schema.String),
  /** How it came to its end. */
  ended: Schema.optional(EndReason)
}) {}

/** An instance as REST shows it. */
export const restInstance = (instance: Instance, router?: string): RestInstance =>
  new RestInstance({
    id: instance.id,
    handle: instance.handle,
    state: instance.state,
    image_ref: instance.image,
    command: instance.command,
    secrets: instance.secrets,
    created_at: restTime(instance.createdAt),
    started_at: instance.startedAt === undefined ? undefined : restTime(instance.startedAt),
    last_active_at: restTime(instance.lastActiveAt),
    stopped_at: instance.stoppedAt === undefined ? undefined : restTime(instance.stoppedAt),
    memory_mb: instance.memoryMib,
    vcpus: instance.vcpus,
    network: instance.network === undefined ? undefined : restNetwork(instance.network),
    traffic: instance.traffic === undefined ? undefined : restTraffic(instance.traffic),
    workspace: instance.workspace,
    workspace_shared_with: instance.sharesWorkspaceWith,
    expose_ports: instance.endpoints.map(({ guest }) => guest),
    endpoints: instance.endpoints,
    endpoint_uses: instance.endpointUses?.map(({ received, sent, ...use }) => ({
      ...use,
      received_bytes: received,
      sent_bytes: sent
    })),
    active_connections: instance.connections,
    keepalive:
      instance.keepalive === undefined
        ? undefined
        : { until: restTime(instance.keepalive.until), reason: instance.keepalive.reason },
    router_addr: router,
    ended: instance.ended
  })

/** One row of the journal; `at` is RFC 3339 in UTC with milliseconds. */
export class RestEvent extends Schema.Class<RestEvent>("RestEvent")({
  seq: Schema.Int,
  at: Schema.String,
  /** Absent for what the daemon does for all of them. */
  instance_id: Schema.optional(InstanceId),
  /** Who asked for it. */
  cause: EventCause,
  /** What happened; the values of an environment are blanked out. */
  data: EventData,
  previous_hash: Schema.String,
  hash: Schema.String
}) {}

/** An event as REST shows it. */
export const restEvent = (event: JournalEvent): RestEvent =>
  new RestEvent({
    seq: event.seq,
    at: DateTime.formatIso(event.at),
    instance_id: event.instanceId,
    cause: event.cause,
    data: event.data,
    previous_hash: event.previousHash,
    hash: event.hash
  })
