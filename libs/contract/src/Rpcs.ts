/**
 * The typed face of the daemon: what `aegis`, `aegis-mcp` and other Effect programs call. MessagePack over a WebSocket at
 * `/rpc` of the daemon's Unix socket.
 */
import {
  AttachError,
  BackendVerdict,
  DaemonStatus,
  DiskFull,
  ExecError,
  ExecEvent,
  ExecId,
  ExecInputError,
  ExecSpec,
  Handle,
  ImageDetails,
  ImageInUse,
  ImageList,
  ImageNotFound,
  ImageRefInvalid,
  ImagesRemoved,
  ImageStoreCorrupt,
  ImageStoreFailed,
  Instance,
  InstanceChanged,
  InstanceId,
  InstanceSpec,
  InstanceState,
  InstanceTarget,
  InvalidArgument,
  JournalEvent,
  LogEntry,
  LogQuery,
  LogUnavailable,
  NewSecret,
  NotFound,
  PullError,
  PullProgress,
  RootfsProgress,
  RootfsUnavailable,
  RootfsVariant,
  RunEvent,
  SecretInfo,
  SecretUnknown,
  StartError,
  StartOutcome,
  StateConflict,
  StoreError,
  TerminalSize,
  VaultCorrupt,
  VaultError,
  VaultUnavailable
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const target = { target: InstanceTarget }
const ofOne = Schema.Union(NotFound, StoreError)
const inAState = Schema.Union(NotFound, StateConflict, StoreError)

const imageStore = Schema.Union(ImageStoreCorrupt, ImageStoreFailed, DiskFull)
const ImageSourceText = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200))

/** What a local source was called by itself. */
export class ImageLoaded extends Schema.TaggedClass<ImageLoaded>()("Loaded", { names: Schema.Array(Schema.String) }) {}

/** How the journal's chain of hashes holds: how many events there are, and the first that does not fit, if one does not. */
export class AuditVerdict extends Schema.Class<AuditVerdict>("AuditVerdict")({
  events: Schema.Int,
  firstBad: Schema.optional(Schema.Struct({ seq: Schema.Int, reason: Schema.String }))
}) {}

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
  /** Brings an image and builds its root disk; ends after `Pulled`. `source` is an image's name, or a local source with an absolute path. */
  Rpc.make("ImagePull", {
    payload: { source: ImageSourceText, refresh: Schema.Boolean },
    success: PullProgress,
    error: Schema.Union(ImageRefInvalid, PullError),
    stream: true
  }),
  /** Brings a local source and gives the image the names that the source has for it; the last element says them. */
  Rpc.make("ImageLoad", {
    payload: { source: ImageSourceText },
    success: Schema.Union(PullProgress, ImageLoaded),
    error: Schema.Union(ImageRefInvalid, PullError),
    stream: true
  }),
  Rpc.make("ImageList", { success: ImageList, error: imageStore }),
  Rpc.make("ImageInspect", {
    payload: { source: ImageSourceText },
    success: ImageDetails,
    error: Schema.Union(ImageRefInvalid, ImageNotFound, imageStore)
  }),
  /** Takes a name away, and what no other name needs. */
  Rpc.make("ImageRemove", {
    payload: { source: ImageSourceText },
    success: ImagesRemoved,
    error: Schema.Union(ImageRefInvalid, ImageNotFound, ImageInUse, imageStore, StoreError)
  }),
  /** Removes what no name needs; with `all` also the names that no instance needs. */
  Rpc.make("ImagePrune", {
    payload: { all: Schema.Boolean },
    success: ImagesRemoved,
    error: Schema.Union(imageStore, StoreError)
  }),
  /** Makes this variant of the base root file system and the active one; new instances boot from it. */
  Rpc.make("RootfsPull", {
    payload: { variant: RootfsVariant },
    success: RootfsProgress,
    error: Schema.Union(RootfsUnavailable, DiskFull),
    stream: true
  }),
  /** An instance's log; with `query.follow` also what comes, until the instance is deleted. */
  Rpc.make("Logs", {
    payload: { ...target, query: LogQuery },
    success: LogEntry,
    error: Schema.Union(NotFound, StoreError, InvalidArgument, LogUnavailable),
    stream: true
  }),
  /** Stores secrets, all or none; those that are there are replaced. Instances have them from their next start on. */
  Rpc.make("SecretSet", {
    payload: { secrets: Schema.NonEmptyArray(NewSecret) },
    success: Schema.Array(SecretInfo),
    error: Schema.Union(InvalidArgument, ...VaultError.members)
  }),
  /** By name; never a value. There is no call that gives one. */
  Rpc.make("SecretList", { success: Schema.Array(SecretInfo), error: VaultUnavailable }),
  Rpc.make("SecretDelete", {
    payload: { name: Schema.String },
    error: Schema.Union(SecretUnknown, ...VaultError.members)
  }),
  /** Encrypts all of them anew with a new key; says how many there are. */
  Rpc.make("SecretRotateKey", {
    success: Schema.Int,
    error: Schema.Union(VaultCorrupt, ...VaultError.members)
  }),
  /** The daemon ends and leaves its VMs running, for the next daemon to go on with (`aegis down --keep`). */
  Rpc.make("Leave")
) {}
