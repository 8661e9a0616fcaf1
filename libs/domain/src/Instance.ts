/**
 * An instance: one microVM with one primary command.
 */
import * as Schema from "effect/Schema"
import { EndpointUse, Exposures, PortBinding } from "./Exposure.ts"
import { PullProgress } from "./Image.ts"
import { Handle, InstanceId } from "./Ids.ts"
import { Keepalive } from "./Keepalive.ts"
import { NetworkPolicy } from "./network/NetworkPolicy.ts"
import { NetworkTraffic } from "./network/NetworkTraffic.ts"
import { defaultMemoryMib, defaultVcpus, maxCommandBytes, MemoryMib, VcpuCount } from "./Resources.ts"
import { SecretRequest } from "./Secret.ts"
import { TemporaryWorkspace, WorkspaceRequest } from "./Workspace.ts"

const noNul = <S extends Schema.Schema<string, string>>(schema: S) =>
  schema.pipe(Schema.filter((text) => (text.includes("\0") ? "a NUL byte cannot be passed to a program" : undefined)))

/** The primary command: argv, never a shell line (S-009). The first element names the program. */
export const Command = Schema.NonEmptyArray(noNul(Schema.String)).pipe(
  Schema.filter((argv) => (argv[0] === "" ? "the command's first word is empty" : undefined)),
  Schema.filter((argv) => {
    const bytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0)
    return bytes > maxCommandBytes
      ? `the command has ${bytes} bytes; at most ${maxCommandBytes} are possible`
      : undefined
  })
)
export type Command = typeof Command.Type

/**
 * Environment variables: names as execve(2) can carry them (T-6, T-32). A filter, since a record's key schema drops the keys
 * it does not match.
 */
export const Environment = Schema.Record({ key: Schema.String, value: noNul(Schema.String) }).pipe(
  Schema.filter((variables) => {
    const bad = Object.keys(variables).find((name) => !/^[^=\0]+$/.test(name))
    return bad === undefined
      ? undefined
      : `a variable's name is not empty and holds neither '=' nor NUL: ${JSON.stringify(bad)}`
  })
)
export type Environment = typeof Environment.Type

/** An absolute path inside a guest. */
export const GuestPath = noNul(
  Schema.String.pipe(
    Schema.startsWith("/", { message: () => "it is an absolute path of the guest" }),
    Schema.maxLength(4096)
  )
)

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

/** The primary ended by itself. */
export class Exited extends Schema.TaggedClass<Exited>()("Exited", { code: Schema.Int.pipe(Schema.between(0, 255)) }) {}
/** The primary was ended by a signal inside the guest; `outOfMemory` where the guest's kernel did it. */
export class Signaled extends Schema.TaggedClass<Signaled>()("Signaled", {
  signal: Schema.Int.pipe(Schema.between(1, 64)),
  outOfMemory: Schema.Boolean
}) {}
/** Nothing had happened in it for as long as it may idle (D-08). */
export class Idle extends Schema.TaggedClass<Idle>()("Idle", {}) {}
/** The machine, or the daemon in the middle of its start, went down under it. */
export class HostLost extends Schema.TaggedClass<HostLost>()("HostLost", { reason: Schema.String }) {}
/** Somebody asked for it. */
export class Stopped extends Schema.TaggedClass<Stopped>()("Stopped", {}) {}
/** The VM's process ended under the guest: killed from outside, a crash, a guest that powered itself off or panicked. */
export class VmDied extends Schema.TaggedClass<VmDied>()("VmDied", {
  cause: Schema.String,
  consoleTail: Schema.String
}) {}
/** The guest broke the channel's rules, or the channel broke, and the VM was ended (T-189). */
export class ChannelLost extends Schema.TaggedClass<ChannelLost>()("ChannelLost", { reason: Schema.String }) {}
/** Its command never ran: the tag and the words of the error that its start ended with, and what the guest printed last. */
export class NotStarted extends Schema.TaggedClass<NotStarted>()("NotStarted", {
  code: Schema.String,
  message: Schema.String,
  consoleTail: Schema.optionalWith(Schema.String, { default: () => "" })
}) {}

/** How an instance came to its end: exactly one, always recorded (P7). */
export const EndReason = Schema.Union(Exited, Signaled, Stopped, Idle, VmDied, ChannelLost, HostLost, NotStarted)
export type EndReason = typeof EndReason.Type

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

export const OutputStream = Schema.Literal("stdout", "stderr")
export type OutputStream = typeof OutputStream.Type

/** The instance is recorded; its VM is being made. */
export class Created extends Schema.TaggedClass<Created>()("Created", { id: InstanceId }) {}
/** Its image is being brought here; on the terminal this is the progress of the pull. */
export class Preparing extends Schema.TaggedClass<Preparing>()("Preparing", { progress: PullProgress }) {}
/** The guest runs the command. `bootMillis`: from the request's arrival in the daemon. */
export class Started extends Schema.TaggedClass<Started>()("Started", { bootMillis: Schema.Number }) {}
/** Its first exposed port answers, at this address of the host (S-065). */
export class Serving extends Schema.TaggedClass<Serving>()("Serving", { address: Schema.String }) {}
/** Bytes of the primary, as they came. */
export class Output extends Schema.TaggedClass<Output>()("Output", {
  stream: OutputStream,
  bytes: Schema.Uint8ArrayFromSelf
}) {}
/** The last event. */
export class Ended extends Schema.TaggedClass<Ended>()("Ended", { reason: EndReason }) {}

/** What `run` tells its client, in this order: Created, Preparing*, Started, then Output* and at most one Serving, Ended. */
export const RunEvent = Schema.Union(Created, Preparing, Started, Serving, Output, Ended)
export type RunEvent = typeof RunEvent.Type
