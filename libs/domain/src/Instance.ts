/**
 * An instance: one microVM with one primary command.
 */
import * as Schema from "effect/Schema"
import { EndReason } from "./EndReason.ts"
import { EndpointUse, Exposures, PortBinding } from "./Exposure.ts"
import { Handle, InstanceId } from "./Ids.ts"
import { Keepalive } from "./Keepalive.ts"
import { NetworkPolicy } from "./network/NetworkPolicy.ts"
import { NetworkTraffic } from "./network/NetworkTraffic.ts"
import { Command, Environment } from "./Program.ts"
import { defaultMemoryMib, defaultVcpus, MemoryMib, VcpuCount } from "./Resources.ts"
import { SecretRequest } from "./Secret.ts"
import { TemporaryWorkspace, WorkspaceRequest } from "./Workspace.ts"

/** Everything that is needed to start an instance. */
export class InstanceSpec extends Schema.Class<InstanceSpec>("InstanceSpec")({
  command: Command,
  handle: Schema.optional(Handle),
  env: Schema.optionalWith(Environment, { default: () => ({}) }),
  /** Which secrets it is given, by name: their values are read anew at each start (S-091). */
  secrets: Schema.optionalWith(Schema.Array(SecretRequest), { default: () => [] }),
  memoryMib: Schema.optionalWith(MemoryMib, { default: () => defaultMemoryMib }),
  vcpus: Schema.optionalWith(VcpuCount, { default: () => defaultVcpus }),
  workspace: Schema.optionalWith(WorkspaceRequest, { default: () => new TemporaryWorkspace() }),
  /** What its root disk is made from: an image's name or a local source; absent, the base root file system. */
  image: Schema.optional(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200))),
  /** Its ports that the host can reach (S-070). */
  exposes: Schema.optionalWith(Exposures, { default: () => [] }),
  /** What its network lets through. */
  network: Schema.optionalWith(NetworkPolicy, { default: () => new NetworkPolicy({}) }),
  /** After how many idle seconds it is paused, and stopped (D-08): 0 never; absent: as the daemon does. */
  idlePauseSeconds: Schema.optional(Schema.NonNegative),
  idleStopSeconds: Schema.optional(Schema.NonNegative),
  /** Removed when its reader goes: set by `run` alone. */
  ephemeral: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Whether the command's standard input is fed by the client (`run -i`) or is empty. */
  interactive: Schema.optionalWith(Schema.Boolean, { default: () => false })
}) {}

/** The same with `blank` for each value of its environment: what may be kept for ever, or shown. */
export const withBlankEnvironment = (spec: InstanceSpec, blank: string): InstanceSpec =>
  new InstanceSpec({ ...spec, env: Object.fromEntries(Object.keys(spec.env).map((name) => [name, blank])) })

export const InstanceState = Schema.Literal("starting", "running", "paused", "stopped")
export type InstanceState = typeof InstanceState.Type

/** An instance as the daemon shows it. */
export class Instance extends Schema.Class<Instance>("Instance")({
  id: InstanceId,
  handle: Schema.optional(Handle),
  state: InstanceState,
  command: Command,
  memoryMib: MemoryMib,
  vcpus: VcpuCount,
  /** The real path on the host that the guest sees at /workspace. */
  workspace: Schema.optional(Schema.String),
  /** The other instances that have the same directory, by handle or id; only of one that is asked for by itself (T-140). */
  sharesWorkspaceWith: Schema.optional(Schema.Array(Schema.String)),
  image: Schema.optional(Schema.String),
  /** The secrets that it is given, by name. */
  secrets: Schema.optional(Schema.Array(SecretRequest)),
  /** What its network lets through. */
  network: Schema.optional(NetworkPolicy),
  /** What has passed through it in this life; only of one that is asked for by itself, and whose network answers. */
  traffic: Schema.optional(NetworkTraffic),
  /** Its exposed ports, and the host's ports that lead to them. */
  endpoints: Schema.optionalWith(Schema.Array(PortBinding), { default: () => [] }),
  /** What has come by them; of those that were used, and only of one that is asked for by itself. */
  endpointUses: Schema.optional(Schema.Array(EndpointUse)),
  /** How many connections to them are open. */
  connections: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 0 }),
  /** Until when idling leaves it alone. */
  keepalive: Schema.optional(Keepalive),
  createdAt: Schema.DateTimeUtc,
  /** When its guest last began to run its command. */
  startedAt: Schema.optional(Schema.DateTimeUtc),
  lastActiveAt: Schema.DateTimeUtc,
  stoppedAt: Schema.optional(Schema.DateTimeUtc),
  ended: Schema.optional(EndReason)
}) {}

/** A start's answer: the instance in state `starting`, and whether it is one that was there and stopped (S-086). */
export class StartOutcome extends Schema.Class<StartOutcome>("StartOutcome")({
  instance: Instance,
  restarted: Schema.Boolean,
  /** Where the HTTP router serves it; none where its port could not be had. */
  router: Schema.optional(Schema.String)
}) {}

/** Something about one instance changed; `instance` is absent when its record is gone. */
export class InstanceChanged extends Schema.Class<InstanceChanged>("InstanceChanged")({
  id: InstanceId,
  instance: Schema.optional(Instance)
}) {}
