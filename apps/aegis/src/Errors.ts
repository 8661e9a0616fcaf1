/**
 * What goes wrong in the CLI itself. What goes wrong in the daemon comes as the domain's errors.
 */
import * as Data from "effect/Data"
import type { EndingSignal } from "./ExitCode.ts"

/** A command line that cannot be carried out as it stands (exit 2). */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly message: string
  readonly remedy: string
}> {}

/** There is no home directory to work in (T-15). */
export class HomeUnusable extends Data.TaggedError("HomeUnusable")<{
  readonly message: string
  readonly remedy: string
}> {}

/** `aegisd` does not lie beside `aegis` (S-030). */
export class DaemonBinaryMissing extends Data.TaggedError("DaemonBinaryMissing")<{ readonly path: string }> {
  override get message() {
    return `aegisd binary not found at ${this.path}`
  }
  get remedy() {
    return "install aegis and aegisd into one folder, or build them again"
  }
}

/** `aegis-mcp` lies neither beside `aegis` nor on PATH (S-186). */
export class McpBinaryMissing extends Data.TaggedError("McpBinaryMissing")<{ readonly path: string }> {
  override get message() {
    return `aegis-mcp binary not found at ${this.path} or on PATH`
  }
  get remedy() {
    return "install aegis and aegis-mcp into one folder, or build them again"
  }
}

/** There is no `claude` on PATH to register a server with (S-186). */
export class ClaudeMissing extends Data.TaggedError("ClaudeMissing")<{ readonly remedy: string }> {
  override get message() {
    return "claude was not found on PATH: Claude Code is not installed"
  }
}

/** `claude` said no; the message is its own. */
export class ClaudeFailed extends Data.TaggedError("ClaudeFailed")<{
  readonly message: string
  readonly command: string
}> {
  get remedy() {
    return `see what it says by itself: claude ${this.command}`
  }
}

/** The daemon did not come up: it ended, or did not answer in time. `logTail` is the end of its log. */
export class DaemonNotStarted extends Data.TaggedError("DaemonNotStarted")<{
  readonly message: string
  readonly log: string
  readonly logTail: string
}> {
  get remedy() {
    return `see ${this.log}; aegis doctor checks this machine`
  }
}

/** The daemon was told to stop and is still there (S-042). */
export class DaemonNotStopped extends Data.TaggedError("DaemonNotStopped")<{ readonly pid: number }> {
  override get message() {
    return "aegisd did not stop within timeout"
  }
  get remedy() {
    return `it is still stopping its guests; if it hangs: kill -9 ${this.pid}`
  }
}

/** A file or process of ours could not be used. */
export class HostFailed extends Data.TaggedError("HostFailed")<{ readonly message: string; readonly remedy: string }> {}

/** The base root file system could not be made. */
export class RootfsFailed extends Data.TaggedError("RootfsFailed")<{
  readonly message: string
  readonly remedy: string
}> {}

/** A signal asked this program to end. Nothing is printed for it. */
export class Interrupted extends Data.TaggedError("Interrupted")<{ readonly signal: EndingSignal }> {}

/** Whoever read our standard output has gone. Nothing is printed for it (T-16). */
export class OutputClosed extends Data.TaggedError("OutputClosed") {}

/** Standard output could not be written to: a full disk, a terminal that is gone. */
export class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly reason: string }> {
  override get message() {
    return `cannot write the output: ${this.reason}`
  }
  get remedy() {
    return "check where standard output goes"
  }
}

/** Standard input could not be read to its end. */
export class InputFailed extends Data.TaggedError("InputFailed")<{ readonly reason: string }> {
  override get message() {
    return `cannot read standard input: ${this.reason}`
  }
  get remedy() {
    return "check where standard input comes from, or run without -i"
  }
}

/** The guest's machine ended before its command did. */
export class GuestLost extends Data.TaggedError("GuestLost")<{
  readonly message: string
  readonly remedy: string
  readonly consoleTail: string
}> {}

/** A guest's command ended with another code than 0. Nothing is printed for it. */
export class ExitWith extends Data.TaggedError("ExitWith")<{ readonly code: number }> {}

/** No instance has that name, so there is no log of it (S-170). */
export class LogNotFound extends Data.TaggedError("LogNotFound")<{ readonly target: string }> {
  override get message() {
    return `no instance found for "${this.target}"`
  }
  get remedy() {
    return "aegis instance list shows what there is"
  }
}

/** No instance has that name, so nothing can be run in it (S-155). */
export class TargetUnresolved extends Data.TaggedError("TargetUnresolved")<{ readonly target: string }> {
  override get message() {
    return `could not resolve "${this.target}" to an instance`
  }
  get remedy() {
    return "aegis instance list shows what there is"
  }
}

/** `instance start --name X` alone, and nothing is called X: there is no configuration to start from (S-084). */
export class NothingToRestart extends Data.TaggedError("NothingToRestart")<{ readonly handle: string }> {
  override get message() {
    return `instance "${this.handle}" not found`
  }
  get remedy() {
    return `put a command behind -- to create it: aegis instance start --name ${this.handle} -- COMMAND [ARGS...]`
  }
}

/** The journal's chain of hashes does not hold from this event on. */
export class JournalChanged extends Data.TaggedError("JournalChanged")<{
  readonly seq: number
  readonly reason: string
}> {
  override get message() {
    return `the journal is not as it was written: event ${this.seq}: ${this.reason}`
  }
  get remedy() {
    return "compare it with a copy; what stands before that event can be trusted, the rest cannot"
  }
}

/** Files could not be copied; what was copied before stays. */
export class CopyFailed extends Data.TaggedError("CopyFailed")<{ readonly message: string; readonly remedy: string }> {}
