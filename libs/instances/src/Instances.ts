/**
 * The lifecycle of instances: what ties journal, log, disk, workspace, VM and guest together. Every instance is owned by the daemon;
 * a client's going away ends what it asked to be ephemeral, and nothing else.
 */
import type {
  AlreadyExposed,
  AttachError,
  CrashLoop,
  EventCause,
  ExecError,
  ExecEvent,
  ExecId,
  ExecInputError,
  ExecSpec,
  Exposure,
  FileError,
  FilePiece,
  FileWriting,
  Handle,
  Instance,
  InstanceChanged,
  InstanceId,
  InstanceSpec,
  InstanceState,
  InvalidArgument,
  KeepaliveRequest,
  LogEntry,
  LogQuery,
  LogUnavailable,
  NetworkAnswer,
  NetworkPolicy,
  NetworkTarget,
  NotExposed,
  NotFound,
  PortTaken,
  RunEvent,
  StartError,
  StartOutcome,
  StateConflict,
  StoreError,
  TerminalSize,
  UploadEvent,
  UploadId
} from "@aegis/domain"
import type { ConnectOptions, EndpointCount, KeptConnection, PortConnection } from "@aegis/router"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as Scope from "effect/Scope"
import type { ReachError } from "./Reaching.ts"
import { make } from "./Runtime.ts"

/** A target is a handle, in whatever case, or an id. `cause` says who asks; it is written down with what follows from it. */
export class Instances extends Context.Tag("@aegis/instances/Instances")<
  Instances,
  {
    /**
     * Records an instance and begins its start; succeeds at once, in state `starting`. Where the handle is that of a stopped
     * instance, that one is started from its own configuration, and the rest of `spec` is not looked at (S-082, S-083, D-02).
     */
    readonly start: (spec: InstanceSpec, cause: EventCause) => Effect.Effect<StartOutcome, StartError>
    /** Starts a stopped instance from its own configuration (S-080). */
    readonly restart: (
      target: Handle | InstanceId,
      cause: EventCause
    ) => Effect.Effect<StartOutcome, NotFound | StartError>
    /**
     * Starts a stopped instance, resumes a paused one, and waits for one that starts, because somebody needs it now. Succeeds when its
     * guest runs its command. One that ends again and again is left alone until a person starts it (T-238).
     */
    readonly wake: (target: string, cause: EventCause) => Effect.Effect<Instance, NotFound | CrashLoop | StartError>
    /**
     * Connects to a port of its guest, waking it where it has to be, for at most 30 s; one that is paused or stopped is a `StateConflict`
     * where `mayWake` is false. The connection counts until the scope closes, from before the wake on; the tunnel is reset where it has
     * not ended by then, unless it is to be kept.
     */
    readonly connect: (
      id: InstanceId,
      port: number,
      cause: EventCause,
      options?: ConnectOptions
    ) => Effect.Effect<PortConnection, ReachError, Scope.Scope>
    /** A tunnel to a port of a guest that runs, if a request has left one. It counts as a connection until its end is told. */
    readonly reuse: (id: InstanceId, port: number) => KeptConnection | undefined
    /** Counts what has come by one of its ports. */
    readonly countUse: (id: InstanceId, port: number, what: EndpointCount) => void
    /**
     * Creates an instance, follows it to its end and removes it. `router` is where its http ports are served, for who is told. The stream fails with what the start failed with. Whoever
     * stops reading removes the instance as well: nothing of it is left when the stream's scope has closed.
     */
    readonly run: (spec: InstanceSpec, cause: EventCause, router?: string) => Stream.Stream<RunEvent, StartError>
    /** Writes to the primary's standard input, waiting while it is full; `end` closes it. */
    readonly writeStdin: (
      id: InstanceId,
      bytes: Uint8Array,
      end: boolean
    ) => Effect.Effect<void, NotFound | StateConflict | StoreError>
    /**
     * Runs a command beside the primary one: in a running instance, one that is paused, which is resumed, or one that starts, which is
     * waited for. Whoever stops reading ends it, unless it is detached: then the stream ends as soon as it runs.
     */
    readonly exec: (target: string, spec: ExecSpec, cause: EventCause) => Stream.Stream<ExecEvent, ExecError>
    /** Reads a detached one, from the first byte that no reader has taken; one reader at a time. Its end is told once. */
    readonly attachExec: (id: ExecId, cause: EventCause) => Stream.Stream<ExecEvent, AttachError>
    /** As `writeStdin`, for an exec. */
    readonly writeExec: (id: ExecId, bytes: Uint8Array, end: boolean) => Effect.Effect<void, ExecInputError>
    /** Gives its terminal another size. */
    readonly resizeExec: (id: ExecId, size: TerminalSize) => Effect.Effect<void, ExecInputError>
    /** Signals its process group. */
    readonly signalExec: (id: ExecId, signal: number) => Effect.Effect<void, ExecInputError>
    /** What is at a path of its guest, as a tar archive that nobody has checked; where `exec` may run a command, as all of these. */
    readonly archive: (target: string, path: string, cause: EventCause) => Stream.Stream<Uint8Array, FileError>
    /**
     * Unpacks an archive, which comes by `writeUpload`, at a path of its guest: below it where it is a directory, which `into` demands, and
     * under its name elsewhere. Whoever stops reading breaks off.
     */
    readonly extract: (
      target: string,
      path: string,
      into: boolean,
      cause: EventCause
    ) => Stream.Stream<UploadEvent, FileError>
    /** The next piece, waiting while the guest is behind. */
    readonly writeUpload: (id: UploadId, bytes: Uint8Array, end: boolean) => Effect.Effect<void, NotFound>
    /** At most `limit` bytes of a regular file from an offset on. */
    readonly readFile: (
      target: string,
      path: string,
      offset: number,
      limit: number,
      cause: EventCause
    ) => Effect.Effect<FilePiece, FileError>
    /** Writes to a file in the way that is asked for; makes the file and its directories. */
    readonly writeFile: (
      target: string,
      path: string,
      bytes: Uint8Array,
      writing: FileWriting,
      cause: EventCause
    ) => Effect.Effect<void, FileError>
    /** All there are, oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<Instance>, StoreError>
    /** Those in these states; what is stopped for years costs nothing here. */
    readonly listIn: (states: ReadonlyArray<InstanceState>) => Effect.Effect<ReadonlyArray<Instance>, StoreError>
    readonly count: Effect.Effect<number, StoreError>
    readonly get: (target: string) => Effect.Effect<Instance, NotFound | StoreError>
    /** Ends its command and its VM, gracefully if the guest lets us, and keeps its record. One that is stopped stays so (D-03). */
    readonly stop: (
      target: string,
      grace: Duration.Duration,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | StoreError>
    /** Stops its VM's process where it stands (S-133). */
    readonly pause: (
      target: string,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | StateConflict | StoreError>
    /** Lets it go on, with its clock set right. */
    readonly resume: (
      target: string,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | StateConflict | StoreError>
    /**
     * Keeps one that is not stopped from being paused and stopped for idling, for so long or until its life ends, also over restarts of
     * the daemon; wakes nothing. In place of an earlier lease; 0 s ends that.
     */
    readonly keepAlive: (
      target: string,
      request: KeepaliveRequest,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | StateConflict | StoreError>
    /** Lets a port of this machine lead to one of its guest's, at once and whenever it runs. One that does so already is no failure. */
    readonly expose: (
      target: string,
      exposure: Exposure,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | AlreadyExposed | PortTaken | InvalidArgument | StoreError>
    /** The opposite; connections to the port are reset. */
    readonly unexpose: (
      target: string,
      port: number,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | NotExposed | StoreError>
    /** What its network lets through from now on, of new flows at once; those that are open and are refused by it are ended. Kept over restarts. */
    readonly setNetwork: (
      target: string,
      policy: NetworkPolicy,
      cause: EventCause
    ) => Effect.Effect<Instance, NotFound | StateConflict | StoreError>
    /** What its policy, or another one in place of it, says of a flow. */
    readonly checkNetwork: (
      target: string,
      to: NetworkTarget,
      candidate: NetworkPolicy | undefined
    ) => Effect.Effect<NetworkAnswer, NotFound | StoreError>
    /** Ends its VM and removes every trace but the journal's. Succeeds when nothing is left. */
    readonly remove: (target: string, cause: EventCause) => Effect.Effect<void, NotFound | StoreError>
    /** Removes those that have been stopped for longer than that; says which. */
    readonly prune: (
      stoppedFor: Duration.Duration,
      cause: EventCause
    ) => Effect.Effect<ReadonlyArray<InstanceId>, StoreError>
    /** Waits until it is stopped, and gives it as it is then; one that is removed is not found. */
    readonly wait: (target: string) => Effect.Effect<Instance, NotFound | StoreError>
    /** Every instance as it is, then every change. */
    readonly watch: Stream.Stream<InstanceChanged, StoreError>
    /** The root disks of images that its instances need, stopped ones too. */
    readonly disksInUse: Effect.Effect<ReadonlySet<string>, StoreError>
    /** What it has said and what was said of it; the target is looked up once. */
    readonly logs: (
      target: string,
      query: LogQuery
    ) => Stream.Stream<LogEntry, NotFound | StoreError | InvalidArgument | LogUnavailable>
    /** From now on a VM is left running when this service's scope closes; says how many there are. */
    readonly leave: Effect.Effect<number>
  }
>() {
  /** Goes on with what an earlier daemon has left before it is there: VMs that run are adopted, all else is brought to its end. */
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}
