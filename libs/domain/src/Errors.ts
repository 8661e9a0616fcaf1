/**
 * Every failure that can reach a person. A tag is its name in TypeScript and its `code` on the wire; the message says what and
 * which, the remedy what to do next (contract D-15). RPC, REST, CLI and MCP all derive their form from these classes.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"

/** A value the caller gave that cannot be used. */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>()(
  "InvalidArgument",
  { argument: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 400 })
) {
  override get message() {
    return `${this.argument}: ${this.reason}`
  }
}

/** No instance has this handle or id. */
export class NotFound extends Schema.TaggedError<NotFound>()(
  "NotFound",
  { target: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `instance "${this.target}" not found`
  }
  get remedy() {
    return "aegis instance list shows what there is"
  }
}

/** The handle belongs to another instance, in whatever state (D-06). */
export class HandleTaken extends Schema.TaggedError<HandleTaken>()(
  "HandleTaken",
  { handle: Schema.String, state: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `instance "${this.handle}" is ${this.state}`
  }
  get remedy() {
    return `choose another --name, or: aegis instance delete ${this.handle}`
  }
}

/** The instance is not in a state in which this can be done. */
export class StateConflict extends Schema.TaggedError<StateConflict>()(
  "StateConflict",
  { target: Schema.String, state: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `instance "${this.target}" is ${this.state}`
  }
}

/** The directory may not be shared with a guest (T-11, T-134), or cannot be. */
export class WorkspaceRefused extends Schema.TaggedError<WorkspaceRefused>()(
  "WorkspaceRefused",
  { workspace: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 400 })
) {
  override get message() {
    return `workspace ${this.workspace}: ${this.reason}`
  }
}

/** The directory of the host that an instance was made with is not there any more, or is another one now (T-137). */
export class WorkspaceGone extends Schema.TaggedError<WorkspaceGone>()(
  "WorkspaceGone",
  { workspace: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `workspace ${this.workspace} is gone: ${this.reason}`
  }
  get remedy() {
    return `put it back, or delete the instance and create it with another: nothing is made in place of a directory of yours`
  }
}

/** There is no base root file system, or it could not be made. */
export class RootfsUnavailable extends Schema.TaggedError<RootfsUnavailable>()(
  "RootfsUnavailable",
  { variant: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `base root file system ${this.variant}: ${this.reason}`
  }
}

/** No backend can run a guest on this machine: a part is missing, or none booted its probe. */
export class BackendUnavailable extends Schema.TaggedError<BackendUnavailable>()(
  "BackendUnavailable",
  { backend: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `backend ${this.backend}: ${this.reason}`
  }
}

/** Where in its start an instance failed. */
export const BootStage = Schema.Literal("disk", "workspace", "network", "vmm", "channel", "mount", "command")
export type BootStage = typeof BootStage.Type

/** The VM was begun and did not come up. `consoleTail` is what the guest printed last. */
export class BootFailed extends Schema.TaggedError<BootFailed>()(
  "BootFailed",
  { stage: BootStage, reason: Schema.String, consoleTail: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `the guest did not start (${this.stage}): ${this.reason}`
  }
}

/** The guest did not answer within its time; it was ended. */
export class BootTimeout extends Schema.TaggedError<BootTimeout>()(
  "BootTimeout",
  { stage: BootStage, seconds: Schema.Number, consoleTail: Schema.String },
  HttpApiSchema.annotations({ status: 504 })
) {
  override get message() {
    return `the guest did not answer within ${this.seconds} s (${this.stage})`
  }
  get remedy() {
    return "aegis doctor says which backend is used and why; a machine under load may need AEGIS_BOOT_TIMEOUT (seconds)"
  }
}

/** The guest's machine runs, but the command could not be started in it: exit 127 when absent, else 126 (D-04). */
export class CommandNotStarted extends Schema.TaggedError<CommandNotStarted>()(
  "CommandNotStarted",
  { program: Schema.String, cause: Schema.Literal("not-found", "denied", "failed"), reason: Schema.String },
  HttpApiSchema.annotations({ status: 422 })
) {
  override get message() {
    return `cannot run "${this.program}": ${this.reason}`
  }
  get remedy() {
    return this.cause === "not-found"
      ? "the program is not in the guest's PATH: check the name, or the image it should come from"
      : "check that it is an executable file for this machine's architecture"
  }
}

/** The host has no room left where the daemon must write. */
export class DiskFull extends Schema.TaggedError<DiskFull>()(
  "DiskFull",
  { path: Schema.String },
  HttpApiSchema.annotations({ status: 507 })
) {
  override get message() {
    return `no space left on device: ${this.path}`
  }
  get remedy() {
    return `free some space on the file system that holds ${this.path}`
  }
}

/** The host has less memory or fewer processors than was asked for (D-19). */
export class ResourcesRefused extends Schema.TaggedError<ResourcesRefused>()(
  "ResourcesRefused",
  { resource: Schema.Literal("memory", "cpus"), asked: Schema.Number, available: Schema.Number },
  HttpApiSchema.annotations({ status: 400 })
) {
  override get message() {
    const unit = this.resource === "memory" ? " MiB" : ""
    return `${this.resource}: ${this.asked}${unit} was asked for, this host can give ${this.available}${unit}`
  }
  get remedy() {
    return this.resource === "memory"
      ? `use --memory with 64 to ${this.available}`
      : `use --cpus with 1 to ${this.available}`
  }
}

/** It has ended too often too soon: nothing starts it by itself any more, until a person does (T-238). */
export class CrashLoop extends Schema.TaggedError<CrashLoop>()(
  "CrashLoop",
  { target: Schema.String, ends: Schema.Int, withinSeconds: Schema.Number },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `instance "${this.target}" ended ${this.ends} times within ${this.withinSeconds} s of its starts`
  }
  get remedy() {
    return `aegis why ${this.target} says how it ended; aegis instance start --name ${this.target} starts it again`
  }
}

/** The daemon could not be spoken to: it is not there, it is going, the connection broke under a call, or it is of another version than `detail`, ours. */
export class DaemonUnreachable extends Schema.TaggedError<DaemonUnreachable>()(
  "DaemonUnreachable",
  { reason: Schema.Literal("absent", "stopping", "lost", "skewed"), detail: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    switch (this.reason) {
      case "absent":
        return "aegisd is not running. Run 'aegis up' first."
      case "stopping":
        return "aegisd is stopping"
      case "lost":
        return `the connection to aegisd was lost: ${this.detail}`
      case "skewed":
        return `the aegisd that runs is not of version ${this.detail}, as this program is`
    }
  }
  get remedy() {
    switch (this.reason) {
      case "absent":
        return "aegis up"
      case "skewed":
        return "aegis down && aegis up starts this version's"
      default:
        return "aegis status shows whether it runs; aegis up starts it"
    }
  }
}

/** The port of the host that was asked for cannot be had (T-182). */
export class PortTaken extends Schema.TaggedError<PortTaken>()(
  "PortTaken",
  { port: Schema.Int, reason: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `port ${this.port} of this machine: ${this.reason}`
  }
  get remedy() {
    return "choose another port, or leave it out: a free one is taken then"
  }
}

/** A log's files cannot be used. */
export class LogUnavailable extends Schema.TaggedError<LogUnavailable>()(
  "LogUnavailable",
  { path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `log ${this.path}: ${this.reason}`
  }
  get remedy() {
    return `check the owner and mode of ${this.path}`
  }
}
