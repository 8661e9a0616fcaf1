/**
 * The typed face of the daemon: what `aegis`, `aegis-mcp` and other Effect programs call. MessagePack over a WebSocket at
 * `/rpc` of the daemon's Unix socket.
 */
import {
  AlreadyExposed,
  AttachError,
  BackendVerdict,
  DaemonStatus,
  ExecError,
  ExecEvent,
  ExecId,
  ExecInputError,
  ExecSpec,
  Exposure,
  FileError,
  FilePiece,
  filePieceLimit,
  FileWriting,
  GuestFilePath,
  Handle,
  Instance,
  InstanceChanged,
  InstanceId,
  InstanceSpec,
  InstanceState,
  InstanceTarget,
  InvalidArgument,
  JournalEvent,
  KeepaliveRequest,
  LogQuery,
  LogUnavailable,
  NetworkAnswer,
  NetworkPolicy,
  NetworkReplay,
  NetworkTarget,
  NotExposed,
  NotFound,
  PortNumber,
  PortTaken,
  RunEvent,
  StartError,
  StartOutcome,
  StateConflict,
  StoreError,
  TerminalSize,
  UploadEvent,
  UploadId,
  version
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { HomeRpcs } from "./HomeRpcs.ts"
import { LogBatch } from "./LogBatch.ts"

const target = { target: InstanceTarget }
const ofOne = Schema.Union(NotFound, StoreError)
const inAState = Schema.Union(NotFound, StateConflict, StoreError)

/** How the journal's chain of hashes holds: how many events there are, and the first that does not fit, if one does not. */
export class AuditVerdict extends Schema.Class<AuditVerdict>("AuditVerdict")({
  events: Schema.Int,
  firstBad: Schema.optional(Schema.Struct({ seq: Schema.Int, reason: Schema.String }))
}) {}

/** Where it is served. Both sides are of one version: one of another is not found there, and never misread (T-284). */
export const rpcPath = `/rpc/${version}`

export class AegisRpcs extends RpcGroup.make(
  Rpc.make("Status", { success: DaemonStatus }),
  /** Chooses the backend if it has not been chosen yet (this boots a probe guest), and says why. */
  Rpc.make("Backend", { success: BackendVerdict }),
  /** Creates an instance, follows it, and deletes it when the stream ends or its reader goes (S-057, T-18). */
  Rpc.make("Run", { payload: InstanceSpec, success: RunEvent, error: StartError, stream: true }),
  /**
   * Feeds the standard input of an instance started with `interactive`. Calls are made one after the other: RPC has no upload
   * streams. `end` closes it.
   */
  Rpc.make("WriteStdin", {
    payload: { id: InstanceId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: inAState
  }),
  /**
   * Runs a command in an instance beside its primary one (S-147). Whoever stops reading ends it, unless it is detached: then the stream
   * ends as soon as it runs. One chunk at a time is under way: what a reader has not taken stays in the guest.
   */
  Rpc.make("Exec", { payload: { ...target, spec: ExecSpec }, success: ExecEvent, error: ExecError, stream: true }),
  /** Reads a detached one, from the first byte that no reader has taken. */
  Rpc.make("ExecAttach", { payload: { id: ExecId }, success: ExecEvent, error: AttachError, stream: true }),
  /** As `WriteStdin`. */
  Rpc.make("ExecWriteStdin", {
    payload: { id: ExecId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: ExecInputError
  }),
  Rpc.make("ExecResize", { payload: { id: ExecId, size: TerminalSize }, error: ExecInputError }),
  Rpc.make("ExecSignal", {
    payload: { id: ExecId, signal: Schema.Int.pipe(Schema.between(1, 64)) },
    error: ExecInputError
  }),
  /** What is at a path of a guest, as a tar archive. Nobody has checked it: who unpacks it must. */
  Rpc.make("FileArchive", {
    payload: { ...target, path: GuestFilePath },
    success: Schema.Uint8ArrayFromSelf,
    error: FileError,
    stream: true
  }),
  /**
   * Unpacks a tar archive at a path of a guest, or below it, where `into` demands that it is a directory. Its bytes come by
   * `FileUploadWrite`, one call after the other. Whoever stops reading breaks off.
   */
  Rpc.make("FileUpload", {
    payload: { ...target, path: GuestFilePath, into: Schema.Boolean },
    success: UploadEvent,
    error: FileError,
    stream: true
  }),
  Rpc.make("FileUploadWrite", {
    payload: { id: UploadId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: NotFound
  }),
  /** At most `limit` bytes of a file from `offset` on. */
  Rpc.make("FileRead", {
    payload: {
      ...target,
      path: GuestFilePath,
      offset: Schema.NonNegativeInt,
      limit: Schema.Int.pipe(Schema.between(0, filePieceLimit))
    },
    success: FilePiece,
    error: FileError
  }),
  /** Writes a file, and makes it and its directories where they are not there. */
  Rpc.make("FileWrite", {
    payload: {
      ...target,
      path: GuestFilePath,
      bytes: Schema.Uint8ArrayFromSelf.pipe(
        Schema.filter((bytes) => bytes.length <= filePieceLimit || `at most ${filePieceLimit} bytes`)
      ),
      writing: FileWriting
    },
    error: FileError
  }),
  /** Creates an instance and begins its start; one that has the handle and is stopped is started from its own configuration (S-082). */
  Rpc.make("InstanceStart", { payload: InstanceSpec, success: StartOutcome, error: StartError }),
  /** Starts a stopped instance from its own configuration (S-080). */
  Rpc.make("InstanceRestart", {
    payload: { handle: Handle },
    success: StartOutcome,
    error: Schema.Union(NotFound, StartError)
  }),
  /** Oldest first; all of them where no states are named. */
  Rpc.make("InstanceList", {
    payload: { states: Schema.optional(Schema.Array(InstanceState)) },
    success: Schema.Array(Instance),
    error: StoreError
  }),
  Rpc.make("InstanceGet", { payload: target, success: Instance, error: ofOne }),
  /**
   * Ends the command (SIGTERM, the grace, SIGKILL) and the VM, and keeps the record. Without `graceSeconds` it is 5 s. One that
   * is stopped already stays so (D-03).
   */
  Rpc.make("InstanceStop", {
    payload: { ...target, graceSeconds: Schema.optional(Schema.Number.pipe(Schema.between(0, 3600))) },
    success: Instance,
    error: ofOne
  }),
  Rpc.make("InstancePause", { payload: target, success: Instance, error: inAState }),
  Rpc.make("InstanceResume", { payload: target, success: Instance, error: inAState }),
  /** Ends the VM if there is one and removes every trace. */
  Rpc.make("InstanceDelete", { payload: target, error: ofOne }),
  /** Removes what has been stopped for longer than that (S-138); says which. */
  Rpc.make("InstancePrune", {
    payload: { stoppedForSeconds: Schema.Number.pipe(Schema.nonNegative()) },
    success: Schema.Array(InstanceId),
    error: StoreError
  }),
  /** Keeps it from being paused and stopped for idling for so long; 0 s ends that. */
  Rpc.make("InstanceKeepAlive", {
    payload: { ...target, request: KeepaliveRequest },
    success: Instance,
    error: inAState
  }),
  /** Lets a port of this machine lead to one of its guest's; kept over restarts. One that does so already is no failure. */
  Rpc.make("InstanceExpose", {
    payload: { ...target, exposure: Exposure },
    success: Instance,
    error: Schema.Union(NotFound, AlreadyExposed, PortTaken, InvalidArgument, StoreError)
  }),
  /** The opposite; connections to the port are reset. */
  Rpc.make("InstanceUnexpose", {
    payload: { ...target, port: PortNumber },
    success: Instance,
    error: Schema.Union(NotFound, NotExposed, StoreError)
  }),
  /** What its network lets through from now on; kept over restarts. */
  Rpc.make("NetworkSet", { payload: { ...target, policy: NetworkPolicy }, success: Instance, error: inAState }),
  /** What its policy, or `candidate` in its place, says of a flow. */
  Rpc.make("NetworkCheck", {
    payload: { ...target, to: NetworkTarget, candidate: Schema.optional(NetworkPolicy) },
    success: NetworkAnswer,
    error: ofOne
  }),
  /** What a policy, or its own, would have made of the flows that its network has told of; also of an instance that is no more. */
  Rpc.make("NetworkReplay", {
    payload: { ...target, candidate: Schema.optional(NetworkPolicy) },
    success: NetworkReplay,
    error: ofOne
  }),
  /** Waits until it is stopped, and gives it as it is then. */
  Rpc.make("InstanceWait", { payload: target, success: Instance, error: ofOne }),
  /** Every instance as it is now, then every change, without end. */
  Rpc.make("InstanceWatch", { success: InstanceChanged, error: StoreError, stream: true }),
  /** What the journal holds, oldest first; of one instance where `target` names one, also one that is no more. Values of environments are blanked. */
  Rpc.make("Events", {
    payload: {
      target: Schema.optional(InstanceTarget),
      after: Schema.optional(Schema.NonNegativeInt),
      since: Schema.optional(Schema.DateTimeUtc),
      follow: Schema.Boolean
    },
    success: JournalEvent,
    error: ofOne,
    stream: true
  }),
  /** The chain of causes behind an instance's present state, in sentences. */
  Rpc.make("Why", { payload: target, success: Schema.Array(Schema.String), error: ofOne }),
  Rpc.make("AuditVerify", { success: AuditVerdict, error: StoreError }),
  /** An instance's log; with `query.follow` also what comes, until the instance is deleted. */
  Rpc.make("Logs", {
    payload: { ...target, query: LogQuery },
    success: LogBatch,
    error: Schema.Union(NotFound, StoreError, InvalidArgument, LogUnavailable),
    stream: true
  }),
  /** The daemon ends and leaves its VMs running, for the next daemon to go on with (`aegis down --keep`). */
  Rpc.make("Leave")
).merge(HomeRpcs) {}
