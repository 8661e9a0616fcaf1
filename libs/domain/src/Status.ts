/**
 * What the daemon says of itself.
 */
import * as Schema from "effect/Schema"

export const BackendName = Schema.Literal("libkrun", "qemu", "simulated")
export type BackendName = typeof BackendName.Type

export const Accelerator = Schema.Literal("kvm", "hvf", "tcg", "none")
export type Accelerator = typeof Accelerator.Type

/** One way to run a VM that was tried, and what came of it. */
export class ProbeAttempt extends Schema.Class<ProbeAttempt>("ProbeAttempt")({
  backend: BackendName,
  accelerator: Accelerator,
  works: Schema.Boolean,
  /** What was seen: `a guest answered in 180 ms`, `KVM_RUN: …`, `qemu-system-x86_64 is not installed`. */
  evidence: Schema.String,
  remedy: Schema.optional(Schema.String)
}) {}

/** Which backend is used and why: the outcome of booting a tiny guest, valid until the machine boots again. */
export class BackendVerdict extends Schema.Class<BackendVerdict>("BackendVerdict")({
  chosen: Schema.optional(Schema.Struct({ backend: BackendName, accelerator: Accelerator })),
  /** True where `AEGIS_BACKEND` named it and no choice was made. */
  forced: Schema.Boolean,
  attempts: Schema.Array(ProbeAttempt)
}) {}

export class Capabilities extends Schema.Class<Capabilities>("Capabilities")({
  pauseResume: Schema.Boolean,
  bootFromDiskLayers: Schema.Boolean
}) {}

/** Where all instances are served, or why they are not (T-282). */
export const RouterState = Schema.Union(
  Schema.TaggedStruct("RouterServing", { address: Schema.String }),
  Schema.TaggedStruct("RouterDown", { reason: Schema.String, remedy: Schema.String })
)
export type RouterState = typeof RouterState.Type

export const routerAddress = (state: RouterState): string | undefined =>
  state._tag === "RouterServing" ? state.address : undefined

export class DaemonStatus extends Schema.Class<DaemonStatus>("DaemonStatus")({
  version: Schema.String,
  pid: Schema.Int,
  startedAt: Schema.DateTimeUtc,
  verdict: BackendVerdict,
  capabilities: Capabilities,
  router: RouterState,
  instances: Schema.Int
}) {}
