/**
 * How instances come to their end.
 */
import * as Schema from "effect/Schema"

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
