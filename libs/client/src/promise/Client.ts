/**
 * The daemon for programs that await promises. Every failure is thrown as the tagged error that it is: `instanceof NotFound`, `error._tag`,
 * `error.remedy`.
 */
import {
  type BackendVerdict,
  type DaemonStatus,
  DaemonUnreachable,
  type Instance,
  type JournalEvent,
  type LogEntry,
  type LogQuery,
  type SecretInfo,
  type StartOutcome
} from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { Aegis, type ClientOptions, type EventQuery } from "../Aegis.ts"
import { type Abortable, bridge, type Bridge } from "./Bridge.ts"
import { Exec, Sandbox } from "./GuestCommand.ts"
import {
  type ExecRequest,
  execSpec,
  exposure,
  guestPort,
  type InstanceRequest,
  instanceSpec,
  type KeepaliveLease,
  keepaliveRequest,
  newSecret,
  type PortRequest,
  type SecretValue
} from "./Requests.ts"
import { follow, ofExec, ofRun } from "./Session.ts"

type Service = Aegis["Type"]

/** Gives a client. It connects with its first call, and anew with the first call after its connection broke. */
export const connect = (options: ClientOptions = {}): Client =>
  new Client(bridge(ManagedRuntime.make(Aegis.layerFor(options))))

export class Client implements AsyncDisposable {
  readonly #bridge: Bridge<Aegis>

  constructor(bridge: Bridge<Aegis>) {
    this.#bridge = bridge
  }

  /** Any call of the service, as a promise: `client.call((aegis) => aegis.imageList)`. */
  call<A, E>(call: (aegis: Service) => Effect.Effect<A, E>, options?: Abortable): Promise<A> {
    return this.#bridge.promise(Effect.flatMap(Aegis, call), options)
  }

  /** Any stream of the service, as an async iterable: `client.stream((aegis) => aegis.watch)`. */
  stream<A, E>(call: (aegis: Service) => Stream.Stream<A, E>, options?: Abortable): AsyncIterable<A> {
    return this.#bridge.iterable(Stream.unwrap(Effect.map(Aegis, call)), options)
  }

  status(options?: Abortable): Promise<DaemonStatus> {
    return this.call((aegis) => aegis.status, options)
  }

  /** Which backend is used and why. */
  backend(options?: Abortable): Promise<BackendVerdict> {
    return this.call((aegis) => aegis.backend, options)
  }

  /**
   * Boots a microVM, and gives it when its command runs. It is removed when `close` is called, also by `await using`, when the signal is
   * aborted before then, and when this process ends.
   */
  run(request: InstanceRequest, options?: Abortable): Promise<Sandbox> {
    const session = Effect.gen(function* () {
      const aegis = yield* Aegis
      const spec = yield* instanceSpec(request)
      const run = yield* follow(ofRun(aegis.run(spec)), cutShort)
      const left = aegis.remove(run.id).pipe(
        // It is gone already, or the daemon is, which removes it when it comes back.
        Effect.catchTags({ NotFound: () => Effect.void, DaemonUnreachable: () => Effect.void })
      )
      return { ...run, close: Effect.zipRight(run.close, Effect.orDie(left)) }
    })
    return this.#bridge.promise(session, options).then((run) => new Sandbox(this.#bridge, run))
  }

  /** Runs a command in an instance and gives it when it runs. It ends when `close` is called, and when this process ends. */
  exec(target: string, request: ExecRequest, options?: Abortable): Promise<Exec> {
    const session = Effect.gen(function* () {
      const aegis = yield* Aegis
      const spec = yield* execSpec(request)
      return yield* follow(ofExec(aegis.exec(target, spec)), cutShort)
    })
    return this.#bridge.promise(session, options).then((exec) => new Exec(this.#bridge, exec))
  }

  /** Creates an instance that outlives this process, or starts a stopped one that has the handle; comes at once, while it boots. */
  start(request: InstanceRequest, options?: Abortable): Promise<StartOutcome> {
    return this.call((aegis) => Effect.flatMap(instanceSpec(request), aegis.start), options)
  }

  list(options?: Abortable): Promise<ReadonlyArray<Instance>> {
    return this.call((aegis) => aegis.list, options)
  }

  get(target: string, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => aegis.get(target), options)
  }

  /** Ends its command and its VM and keeps its record. */
  stop(target: string, options: Abortable & { readonly graceSeconds?: number } = {}): Promise<Instance> {
    const { graceSeconds } = options
    const grace = graceSeconds === undefined ? undefined : (`${graceSeconds} seconds` as const)
    return this.call((aegis) => aegis.stop(target, grace), options)
  }

  pause(target: string, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => aegis.pause(target), options)
  }

  resume(target: string, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => aegis.resume(target), options)
  }

  /** Keeps it from being paused and stopped for idling for so many seconds, at most a day; 0 ends that. */
  keepAlive(target: string, lease: KeepaliveLease, options?: Abortable): Promise<Instance> {
    return this.call(
      (aegis) => Effect.flatMap(keepaliveRequest(lease), (request) => aegis.keepAlive(target, request)),
      options
    )
  }

  /** Lets a port of this machine lead to one of its guest's; comes with the instance, whose `endpoints` say which. */
  expose(target: string, port: PortRequest, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => Effect.flatMap(exposure(port), (wanted) => aegis.expose(target, wanted)), options)
  }

  /** The opposite, by the guest's port; connections to it are reset. */
  unexpose(target: string, port: number, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => Effect.flatMap(guestPort(port), (known) => aegis.unexpose(target, known)), options)
  }

  /** Comes when nothing is left of it. */
  remove(target: string, options?: Abortable): Promise<void> {
    return this.call((aegis) => aegis.remove(target), options)
  }

  /** Waits until it is stopped. */
  wait(target: string, options?: Abortable): Promise<Instance> {
    return this.call((aegis) => aegis.wait(target), options)
  }

  /** The causes behind its present state, in sentences. */
  why(target: string, options?: Abortable): Promise<ReadonlyArray<string>> {
    return this.call((aegis) => aegis.why(target), options)
  }

  /** Its log; with `follow` also what comes, until it is deleted. */
  logs(target: string, query: LogQuery = {}, options?: Abortable): AsyncIterable<LogEntry> {
    return this.stream((aegis) => aegis.logs(target, query), options)
  }

  /** What has happened, oldest first; with `follow` also what comes. */
  events(query: EventQuery, options?: Abortable): AsyncIterable<JournalEvent> {
    return this.stream((aegis) => aegis.events(query), options)
  }

  setSecret(secret: SecretValue, options?: Abortable): Promise<ReadonlyArray<SecretInfo>> {
    return this.call((aegis) => Effect.flatMap(newSecret(secret), (checked) => aegis.secretSet([checked])), options)
  }

  /** Ends what is under way, and the connection. */
  close(): Promise<void> {
    return this.#bridge.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const cutShort = () =>
  new DaemonUnreachable({ reason: "lost", detail: "the daemon ended the stream before the command's end" })
