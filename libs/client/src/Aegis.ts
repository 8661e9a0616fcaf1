/**
 * The typed client: the daemon as an Effect service. One connection at a time, closed with the layer's scope.
 */
import type {
  AlreadyExposed,
  AttachError,
  BackendVerdict,
  DaemonStatus,
  DaemonUnreachable,
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
  JournalEvent,
  KeepaliveRequest,
  LogEntry,
  LogQuery,
  LogUnavailable,
  NetworkAnswer,
  NetworkPolicy,
  NetworkReplay,
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
import { InvalidArgument, ProgramName } from "@aegis/domain"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { calls } from "./Calls.ts"
import { ownName } from "./CallerName.ts"
import { AegisHome } from "./Home.ts"
import type { HomeCalls } from "./HomeCalls.ts"
import { type Parts, partsOf } from "./Parts.ts"

type OfOne = NotFound | StoreError | DaemonUnreachable

export interface EventQuery {
  /** A handle or an id, also of an instance that is no more. */
  readonly target?: string | undefined
  /** Only events with a greater number. */
  readonly after?: number | undefined
  readonly since?: DateTime.Utc | undefined
  readonly follow: boolean
}

export class Aegis extends Context.Tag("@aegis/client/Aegis")<
  Aegis,
  HomeCalls & {
    readonly status: Effect.Effect<DaemonStatus, DaemonUnreachable>
    /** Which backend is used and why; waits for the probe. */
    readonly backend: Effect.Effect<BackendVerdict, DaemonUnreachable>
    /** Creates an instance, follows it to its end, and removes it, also when the stream is interrupted. */
    readonly run: (spec: InstanceSpec) => Stream.Stream<RunEvent, StartError | DaemonUnreachable>
    /** Feeds an interactive instance's standard input; await each call before the next. */
    readonly writeStdin: (id: InstanceId, bytes: Uint8Array, end: boolean) => Effect.Effect<void, OfOne | StateConflict>
    /** Runs a command in an instance; interrupting the stream ends it, unless it is detached. */
    readonly exec: (target: string, spec: ExecSpec) => Stream.Stream<ExecEvent, ExecError | DaemonUnreachable>
    /** Reads a detached one, from the first byte that no reader has taken. */
    readonly attachExec: (id: ExecId) => Stream.Stream<ExecEvent, AttachError | DaemonUnreachable>
    /** Feeds an interactive exec's standard input; await each call before the next. */
    readonly writeExec: (
      id: ExecId,
      bytes: Uint8Array,
      end: boolean
    ) => Effect.Effect<void, ExecInputError | DaemonUnreachable>
    readonly resizeExec: (id: ExecId, size: TerminalSize) => Effect.Effect<void, ExecInputError | DaemonUnreachable>
    readonly signalExec: (id: ExecId, signal: number) => Effect.Effect<void, ExecInputError | DaemonUnreachable>
    /** What is at a path of a guest, as a tar archive that nobody has checked. */
    readonly fileArchive: (target: string, path: string) => Stream.Stream<Uint8Array, FileError | DaemonUnreachable>
    /** Unpacks the archive that `writeUpload` brings; interrupting the stream breaks off. `into`: the path must be a directory. */
    readonly fileUpload: (
      target: string,
      path: string,
      into: boolean
    ) => Stream.Stream<UploadEvent, FileError | DaemonUnreachable>
    /** The archive's next bytes; await each call before the next. */
    readonly writeUpload: (
      id: UploadId,
      bytes: Uint8Array,
      end: boolean
    ) => Effect.Effect<void, NotFound | DaemonUnreachable>
    /** At most `limit` bytes (512 KiB at most) of a file from an offset on. */
    readonly readFile: (
      target: string,
      path: string,
      offset: number,
      limit: number
    ) => Effect.Effect<FilePiece, FileError | DaemonUnreachable>
    /** Writes at most 512 KiB to a file, in the way that is asked for; makes it and its directories. */
    readonly writeFile: (
      target: string,
      path: string,
      bytes: Uint8Array,
      writing: FileWriting
    ) => Effect.Effect<void, FileError | DaemonUnreachable>
    /**
     * Creates an instance and begins its start; succeeds at once. Where the handle is a stopped instance's, that one is started from its
     * own configuration (S-082).
     */
    readonly start: (spec: InstanceSpec) => Effect.Effect<StartOutcome, StartError | DaemonUnreachable>
    /** Starts a stopped instance from its own configuration. */
    readonly restart: (handle: Handle) => Effect.Effect<StartOutcome, NotFound | StartError | DaemonUnreachable>
    readonly list: Effect.Effect<ReadonlyArray<Instance>, StoreError | DaemonUnreachable>
    readonly listIn: (
      states: ReadonlyArray<InstanceState>
    ) => Effect.Effect<ReadonlyArray<Instance>, StoreError | DaemonUnreachable>
    readonly get: (target: string) => Effect.Effect<Instance, OfOne>
    /** Ends its command and its VM and keeps its record; `grace` is 5 s where it is not given. */
    readonly stop: (target: string, grace?: Duration.DurationInput) => Effect.Effect<Instance, OfOne>
    readonly pause: (target: string) => Effect.Effect<Instance, OfOne | StateConflict>
    readonly resume: (target: string) => Effect.Effect<Instance, OfOne | StateConflict>
    /** Succeeds when nothing is left of the instance. */
    readonly remove: (target: string) => Effect.Effect<void, OfOne>
    /** Removes those that have been stopped for longer than that; says which. */
    readonly prune: (
      stoppedFor: Duration.DurationInput
    ) => Effect.Effect<ReadonlyArray<InstanceId>, StoreError | DaemonUnreachable>
    /** Waits until it is stopped. */
    readonly wait: (target: string) => Effect.Effect<Instance, OfOne>
    /** Every instance as it is, then every change, without end. */
    readonly watch: Stream.Stream<InstanceChanged, StoreError | DaemonUnreachable>
    /** What the journal holds, oldest first; with `follow` also what comes. */
    readonly events: (query: EventQuery) => Stream.Stream<JournalEvent, OfOne>
    /** Keeps it from being paused and stopped for idling for so long, in place of an earlier lease; 0 s ends that. */
    readonly keepAlive: (target: string, request: KeepaliveRequest) => Effect.Effect<Instance, OfOne | StateConflict>
    /** Lets a port of this machine lead to one of its guest's, at once and whenever it runs. One that does so already is no failure. */
    readonly expose: (
      target: string,
      exposure: Exposure
    ) => Effect.Effect<Instance, OfOne | AlreadyExposed | PortTaken | InvalidArgument>
    /** The opposite; connections to the port are reset. */
    readonly unexpose: (target: string, port: number) => Effect.Effect<Instance, OfOne | NotExposed>
    /** What its network lets through from now on, also of open flows. */
    readonly networkSet: (target: string, policy: NetworkPolicy) => Effect.Effect<Instance, OfOne | StateConflict>
    /** What its policy, or `candidate` in its place, says of a flow. */
    readonly networkCheck: (
      target: string,
      to: NetworkTarget,
      candidate: NetworkPolicy | undefined
    ) => Effect.Effect<NetworkAnswer, OfOne>
    /** What `candidate`, or its own policy, would have made of the flows that its network has told of. */
    readonly networkReplay: (
      target: string,
      candidate: NetworkPolicy | undefined
    ) => Effect.Effect<NetworkReplay, OfOne>
    /** The causes behind its present state, in sentences. */
    readonly why: (target: string) => Effect.Effect<ReadonlyArray<string>, OfOne>
    /** An instance's log; with `follow` also what comes, until it is deleted. */
    readonly logs: (
      target: string,
      query: LogQuery
    ) => Stream.Stream<LogEntry, OfOne | InvalidArgument | LogUnavailable>
    /** The daemon ends and leaves its VMs running. */
    readonly leave: Effect.Effect<void, DaemonUnreachable>
  }
>() {
  /**
   * Over the socket of the `AegisHome` of the environment. Building it does not connect: the first call says whether the daemon is
   * there. A connection that broke is made anew by the next call; see `Connection.ts`.
   */
  static readonly layer = Layer.suspend(() => connected()).pipe(Layer.provideMerge(AegisHome.layer))

  /** The same for a home that is given: an absolute path such as `/home/me/.aegis`. */
  static readonly layerAt = (home: string) => Aegis.layerFor({ home })

  /** The same for a program that says its name, which the journal holds with what it does; else it is that of its script. */
  static readonly layerFor = ({ home, program }: ClientOptions) =>
    Layer.provideMerge(connected(program), home === undefined ? AegisHome.layer : AegisHome.layerAt(home))
}

export interface ClientOptions {
  /** The home directory of the daemon, an absolute path. Absent: `AEGIS_HOME`, or `~/.aegis`. */
  readonly home?: string | undefined
  /** What this program is called: at most 64 letters, digits, spaces and . @ / + _ -. Absent: as its script, without the ending. */
  readonly program?: string | undefined
}

/** The service over whatever gives a connection: a daemon's socket, or the runtime in this process. */
export const aegisOver = (parts: Parts): Aegis["Type"] => {
  const daemon = calls(parts.daemon)
  const run = calls(parts.run)
  const exec = calls(parts.exec)
  const file = calls(parts.file)
  const instance = calls(parts.instance)
  const history = calls(parts.history)
  const home = calls(parts.home)
  return Aegis.of({
    status: daemon.reach((rpc) => rpc.Status()),
    backend: daemon.reach((rpc) => rpc.Backend()),
    run: (spec) => run.reachAll((rpc) => rpc.Run(spec)),
    writeStdin: (id, bytes, end) => run.reach((rpc) => rpc.WriteStdin({ id, bytes, end })),
    exec: (target, spec) => exec.reachAll((rpc) => rpc.Exec({ target, spec })),
    attachExec: (id) => exec.reachAll((rpc) => rpc.ExecAttach({ id })),
    writeExec: (id, bytes, end) => exec.reach((rpc) => rpc.ExecWriteStdin({ id, bytes, end })),
    resizeExec: (id, size) => exec.reach((rpc) => rpc.ExecResize({ id, size })),
    signalExec: (id, signal) => exec.reach((rpc) => rpc.ExecSignal({ id, signal })),
    fileArchive: (target, path) => file.reachAll((rpc) => rpc.FileArchive({ target, path })),
    fileUpload: (target, path, into) => file.reachAll((rpc) => rpc.FileUpload({ target, path, into })),
    writeUpload: (id, bytes, end) => file.reach((rpc) => rpc.FileUploadWrite({ id, bytes, end })),
    readFile: (target, path, offset, limit) => file.reach((rpc) => rpc.FileRead({ target, path, offset, limit })),
    writeFile: (target, path, bytes, writing) => file.reach((rpc) => rpc.FileWrite({ target, path, bytes, writing })),
    start: (spec) => instance.reach((rpc) => rpc.InstanceStart(spec)),
    restart: (handle) => instance.reach((rpc) => rpc.InstanceRestart({ handle })),
    list: instance.reach((rpc) => rpc.InstanceList({})),
    listIn: (states) => instance.reach((rpc) => rpc.InstanceList({ states })),
    get: (target) => instance.reach((rpc) => rpc.InstanceGet({ target })),
    stop: (target, grace) =>
      instance.reach((rpc) =>
        rpc.InstanceStop({ target, graceSeconds: grace === undefined ? undefined : Duration.toSeconds(grace) })
      ),
    pause: (target) => instance.reach((rpc) => rpc.InstancePause({ target })),
    resume: (target) => instance.reach((rpc) => rpc.InstanceResume({ target })),
    remove: (target) => instance.reach((rpc) => rpc.InstanceDelete({ target })),
    prune: (stoppedFor) =>
      instance.reach((rpc) => rpc.InstancePrune({ stoppedForSeconds: Duration.toSeconds(stoppedFor) })),
    wait: (target) => instance.reach((rpc) => rpc.InstanceWait({ target })),
    watch: instance.reachAll((rpc) => rpc.InstanceWatch()),
    events: (query) => history.reachAll((rpc) => rpc.Events(query)),
    keepAlive: (target, request) => instance.reach((rpc) => rpc.InstanceKeepAlive({ target, request })),
    expose: (target, exposure) => instance.reach((rpc) => rpc.InstanceExpose({ target, exposure })),
    unexpose: (target, port) => instance.reach((rpc) => rpc.InstanceUnexpose({ target, port })),
    networkSet: (target, policy) => instance.reach((rpc) => rpc.NetworkSet({ target, policy })),
    networkCheck: (target, to, candidate) => instance.reach((rpc) => rpc.NetworkCheck({ target, to, candidate })),
    networkReplay: (target, candidate) => instance.reach((rpc) => rpc.NetworkReplay({ target, candidate })),
    why: (target) => history.reach((rpc) => rpc.Why({ target })),
    auditVerify: history.reach((rpc) => rpc.AuditVerify()),
    imagePull: (source, { refresh }) => home.reachAll((rpc) => rpc.ImagePull({ source, refresh })),
    imageLoad: (source) => home.reachAll((rpc) => rpc.ImageLoad({ source })),
    imageList: home.reach((rpc) => rpc.ImageList()),
    imageInspect: (source) => home.reach((rpc) => rpc.ImageInspect({ source })),
    imageRemove: (source) => home.reach((rpc) => rpc.ImageRemove({ source })),
    imagePrune: (options) => home.reach((rpc) => rpc.ImagePrune(options)),
    rootfsPull: (variant) => home.reachAll((rpc) => rpc.RootfsPull({ variant })),
    logs: (target, query) =>
      Stream.mapChunks(
        history.reachAll((rpc) => rpc.Logs({ target, query })),
        Chunk.flatMap(Chunk.unsafeFromArray)
      ),
    secretSet: (secrets) => home.reach((rpc) => rpc.SecretSet({ secrets })),
    secretList: home.reach((rpc) => rpc.SecretList()),
    secretDelete: (name) => home.reach((rpc) => rpc.SecretDelete({ name })),
    workspaceList: home.reach((rpc) => rpc.WorkspaceList()),
    workspaceInspect: (name) => home.reach((rpc) => rpc.WorkspaceInspect({ name })),
    workspaceRemove: (name) => home.reach((rpc) => rpc.WorkspaceRemove({ name })),
    secretRotateKey: home.reach((rpc) => rpc.SecretRotateKey()),
    leave: daemon.reach((rpc) => rpc.Leave())
  })
}

const connected = (program?: string) =>
  Layer.scoped(
    Aegis,
    Effect.gen(function* () {
      const { socket } = yield* AegisHome
      const name = program === undefined ? ownName() : Option.some(yield* named(program))
      return aegisOver(yield* partsOf({ socket, program: name }))
    })
  )

const named = (program: string): Effect.Effect<ProgramName, InvalidArgument> =>
  Effect.mapError(
    Schema.decode(ProgramName)(program),
    (error) =>
      new InvalidArgument({
        argument: "program",
        reason: ParseResult.ArrayFormatter.formatErrorSync(error)
          .map(({ message }) => message)
          .join("; "),
        remedy: 'give the program a short name, such as "builder"'
      })
  )
