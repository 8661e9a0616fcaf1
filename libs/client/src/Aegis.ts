/**
 * The typed client: the daemon as an Effect service. One connection, made with the layer, closed with its scope.
 */
import { AegisRpcs, type AuditVerdict, type ImageLoaded } from "@aegis/contract"
import {
  type AttachError,
  type BackendVerdict,
  type DaemonStatus,
  DaemonUnreachable,
  type DiskFull,
  type ExecError,
  type ExecEvent,
  type ExecId,
  type ExecInputError,
  type ExecSpec,
  type Handle,
  type ImageDetails,
  type ImageInUse,
  type ImageList,
  type ImageNotFound,
  type ImageRefInvalid,
  type ImagesRemoved,
  type ImageStoreCorrupt,
  type ImageStoreFailed,
  type Instance,
  type InstanceChanged,
  type InstanceId,
  type InstanceSpec,
  type InstanceState,
  type InvalidArgument,
  type JournalEvent,
  type LogEntry,
  type LogQuery,
  type LogUnavailable,
  type NewSecret,
  type NotFound,
  type PullError,
  type PullProgress,
  type RootfsProgress,
  type RootfsUnavailable,
  type RootfsVariant,
  type RunEvent,
  type SecretInfo,
  type SecretUnknown,
  type StartError,
  type StartOutcome,
  type StateConflict,
  type StoreError,
  type TerminalSize,
  type VaultCorrupt,
  type VaultError,
  type VaultUnavailable
} from "@aegis/domain"
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import WebSocket from "ws"
import { AegisHome } from "./Home.ts"

type ImageStoreError = ImageStoreCorrupt | ImageStoreFailed | DiskFull
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
  {
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
    /** The causes behind its present state, in sentences. */
    readonly why: (target: string) => Effect.Effect<ReadonlyArray<string>, OfOne>
    readonly auditVerify: Effect.Effect<AuditVerdict, StoreError | DaemonUnreachable>
    /** Brings an image and builds its root disk; `source` as in `run --image`, local paths absolute. Ends after `Pulled`. */
    readonly imagePull: (
      source: string,
      options: { readonly refresh: boolean }
    ) => Stream.Stream<PullProgress, PullError | ImageRefInvalid | DaemonUnreachable>
    /** Brings a local source under the names that it has for itself; the last element says them. */
    readonly imageLoad: (
      source: string
    ) => Stream.Stream<PullProgress | ImageLoaded, PullError | ImageRefInvalid | DaemonUnreachable>
    readonly imageList: Effect.Effect<ImageList, ImageStoreError | DaemonUnreachable>
    readonly imageInspect: (
      source: string
    ) => Effect.Effect<ImageDetails, ImageRefInvalid | ImageNotFound | ImageStoreError | DaemonUnreachable>
    readonly imageRemove: (
      source: string
    ) => Effect.Effect<
      ImagesRemoved,
      ImageRefInvalid | ImageNotFound | ImageInUse | ImageStoreError | StoreError | DaemonUnreachable
    >
    readonly imagePrune: (options: {
      readonly all: boolean
    }) => Effect.Effect<ImagesRemoved, ImageStoreError | StoreError | DaemonUnreachable>
    /** Makes a variant of the base root file system and the active one. */
    readonly rootfsPull: (
      variant: RootfsVariant
    ) => Stream.Stream<RootfsProgress, RootfsUnavailable | DiskFull | DaemonUnreachable>
    /** An instance's log; with `follow` also what comes, until it is deleted. */
    readonly logs: (
      target: string,
      query: LogQuery
    ) => Stream.Stream<LogEntry, OfOne | InvalidArgument | LogUnavailable>
    /** Stores secrets, all or none; instances have them from their next start on. */
    readonly secretSet: (
      secrets: readonly [NewSecret, ...ReadonlyArray<NewSecret>]
    ) => Effect.Effect<ReadonlyArray<SecretInfo>, InvalidArgument | VaultError | DaemonUnreachable>
    /** By name. No call gives a value. */
    readonly secretList: Effect.Effect<ReadonlyArray<SecretInfo>, VaultUnavailable | DaemonUnreachable>
    readonly secretDelete: (name: string) => Effect.Effect<void, SecretUnknown | VaultError | DaemonUnreachable>
    /** Encrypts all secrets anew with a new key; says how many there are. */
    readonly secretRotateKey: Effect.Effect<number, VaultCorrupt | VaultError | DaemonUnreachable>
    /** The daemon ends and leaves its VMs running. */
    readonly leave: Effect.Effect<void, DaemonUnreachable>
  }
>() {
  /** Over the socket of the `AegisHome`. Building it does not connect: the first call says whether the daemon is there. */
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Layer.suspend(() => protocol)), Layer.provideMerge(AegisHome.layer))
}

const make = Effect.gen(function* () {
  const rpc = yield* RpcClient.make(AegisRpcs)
  return Aegis.of({
    status: reach(rpc.Status()),
    backend: reach(rpc.Backend()),
    run: (spec) => reachAll(rpc.Run(spec)),
    writeStdin: (id, bytes, end) => reach(rpc.WriteStdin({ id, bytes, end })),
    exec: (target, spec) => reachAll(rpc.Exec({ target, spec })),
    attachExec: (id) => reachAll(rpc.ExecAttach({ id })),
    writeExec: (id, bytes, end) => reach(rpc.ExecWriteStdin({ id, bytes, end })),
    resizeExec: (id, size) => reach(rpc.ExecResize({ id, size })),
    signalExec: (id, signal) => reach(rpc.ExecSignal({ id, signal })),
    start: (spec) => reach(rpc.InstanceStart(spec)),
    restart: (handle) => reach(rpc.InstanceRestart({ handle })),
    list: reach(rpc.InstanceList({})),
    listIn: (states) => reach(rpc.InstanceList({ states })),
    get: (target) => reach(rpc.InstanceGet({ target })),
    stop: (target, grace) =>
      reach(rpc.InstanceStop({ target, graceSeconds: grace === undefined ? undefined : Duration.toSeconds(grace) })),
    pause: (target) => reach(rpc.InstancePause({ target })),
    resume: (target) => reach(rpc.InstanceResume({ target })),
    remove: (target) => reach(rpc.InstanceDelete({ target })),
    prune: (stoppedFor) => reach(rpc.InstancePrune({ stoppedForSeconds: Duration.toSeconds(stoppedFor) })),
    wait: (target) => reach(rpc.InstanceWait({ target })),
    watch: reachAll(rpc.InstanceWatch()),
    events: (query) => reachAll(rpc.Events(query)),
    why: (target) => reach(rpc.Why({ target })),
    auditVerify: reach(rpc.AuditVerify()),
    imagePull: (source, { refresh }) => reachAll(rpc.ImagePull({ source, refresh })),
    imageLoad: (source) => reachAll(rpc.ImageLoad({ source })),
    imageList: reach(rpc.ImageList()),
    imageInspect: (source) => reach(rpc.ImageInspect({ source })),
    imageRemove: (source) => reach(rpc.ImageRemove({ source })),
    imagePrune: (options) => reach(rpc.ImagePrune(options)),
    rootfsPull: (variant) => reachAll(rpc.RootfsPull({ variant })),
    logs: (target, query) => reachAll(rpc.Logs({ target, query })),
    secretSet: (secrets) => reach(rpc.SecretSet({ secrets })),
    secretList: reach(rpc.SecretList()),
    secretDelete: (name) => reach(rpc.SecretDelete({ name })),
    secretRotateKey: reach(rpc.SecretRotateKey()),
    leave: reach(rpc.Leave())
  })
})

const protocol = Layer.unwrapEffect(
  Effect.map(AegisHome, ({ socket }) =>
    RpcClient.layerProtocolSocket().pipe(
      Layer.provide(Socket.layerWebSocket(`ws+unix://${socket}:/rpc`)),
      Layer.provide(
        Layer.succeed(Socket.WebSocketConstructor, (url, protocols) => {
          const options = { perMessageDeflate: false, maxPayload: 32 * 1024 * 1024, skipUTF8Validation: true }
          // `ws` follows the browser's interface as far as Effect's Socket uses it; its own type says so less exactly.
          return new WebSocket(url, protocols, options) as unknown as globalThis.WebSocket
        })
      ),
      Layer.provide(RpcSerialization.layerMsgPack)
    )
  )
)

const reach = <A, E>(
  effect: Effect.Effect<A, E | RpcClientError>
): Effect.Effect<A, Exclude<E, RpcClientError> | DaemonUnreachable> =>
  Effect.catchAllCause(effect, (cause) => Effect.failCause(unreachable(cause)))

const reachAll = <A, E>(
  stream: Stream.Stream<A, E | RpcClientError>
): Stream.Stream<A, Exclude<E, RpcClientError> | DaemonUnreachable> =>
  Stream.catchAllCause(stream, (cause) => Stream.failCause(unreachable(cause)))

/**
 * One error for the three ways in which a daemon that is not there shows itself: a transport error, a defect of the socket's
 * writer, and an interrupt from the other side (a local interrupt never comes here).
 */
const unreachable = <E>(
  cause: Cause.Cause<E | RpcClientError>
): Cause.Cause<Exclude<E, RpcClientError> | DaemonUnreachable> => {
  if (Cause.isInterruptedOnly(cause)) return Cause.fail(new DaemonUnreachable({ reason: "stopping", detail: "" }))
  const socketDefect = Chunk.findFirst(Cause.defects(cause), Socket.isSocketError)
  if (Option.isSome(socketDefect)) return Cause.fail(fromSocket(socketDefect.value))
  return Cause.flatMap(cause, (error) => Cause.fail(error)).pipe(Cause.map(ofCall))
}

const ofCall = <E>(error: E | RpcClientError): Exclude<E, RpcClientError> | DaemonUnreachable => {
  if (error instanceof RpcClientError) {
    return Socket.isSocketError(error.cause)
      ? fromSocket(error.cause)
      : new DaemonUnreachable({ reason: "lost", detail: error.message })
  }
  return error as Exclude<E, RpcClientError>
}

const fromSocket = (error: Socket.SocketError) =>
  new DaemonUnreachable({ reason: error.reason === "Open" ? "absent" : "lost", detail: error.message })
