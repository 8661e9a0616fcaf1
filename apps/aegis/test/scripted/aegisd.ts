/**
 * A daemon without guests, for tests of the CLI as a process: the real contract on a real socket, with commands that act out what
 * a guest may do. Its words are those of the tests: `exit 3`, `print TEXT`, `cat`, `flood BYTES`, `sleep`, `die`, …
 */
import { AegisRpcs } from "@aegis/contract"
import {
  BackendVerdict,
  BootFailed,
  Capabilities,
  ChannelLost,
  CommandNotStarted,
  Created,
  DaemonStatus,
  daemonPidFile,
  daemonSocket,
  Ended,
  type EndReason,
  Exited,
  Instance,
  InstanceId,
  type InstanceSpec,
  NotFound,
  Output,
  ProbeAttempt,
  type RunEvent,
  Signaled,
  Started,
  type StartError,
  Stopped,
  version,
  VmDied
} from "@aegis/domain"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import * as net from "node:net"

const home = process.env["AEGIS_HOME"] ?? "/nowhere"
const socket = daemonSocket(home, { uid: process.getuid?.() ?? 0, runtimeDir: process.env["XDG_RUNTIME_DIR"] })

interface Live {
  readonly instance: Instance
  readonly input: Mailbox.Mailbox<Uint8Array>
  readonly deleted: Deferred.Deferred<void>
}
const live = new Map<string, Live>()
let next = 1_000_000_000_000_000_000n

const text = (words: string, stream: "stdout" | "stderr" = "stdout") =>
  new Output({ stream, bytes: new TextEncoder().encode(words) })

/** What the guest does and how it ends. */
const play = (spec: InstanceSpec, guest: Live): Stream.Stream<RunEvent, StartError> => {
  const [program, word = "", ...more] = spec.command
  const end = (reason: EndReason, ...before: ReadonlyArray<RunEvent>) =>
    Stream.make(...before, new Ended({ reason }) as RunEvent)
  switch (program) {
    case "print":
      return end(new Exited({ code: 0 }), text(word), ...(more[0] === undefined ? [] : [text(more[0], "stderr")]))
    case "bytes":
      return end(new Exited({ code: 0 }), new Output({ stream: "stdout", bytes: Buffer.from(word, "hex") }))
    case "exit":
      return end(new Exited({ code: Number(word) }))
    case "signal":
      return end(new Signaled({ signal: Number(word), outOfMemory: more[0] === "oom" }))
    case "die":
      return end(new VmDied({ cause: "ended by SIGKILL", consoleTail: "booting\r\nkernel panic \u001b[2J\r\n" }))
    case "channel":
      return end(new ChannelLost({ reason: "bad frame" }))
    case "absent":
      return Stream.fail(new CommandNotStarted({ program: word, cause: "not-found", reason: "no such file" }))
    case "broken":
      return Stream.fail(new BootFailed({ stage: "mount", reason: "r", consoleTail: "c", remedy: "do" }))
    case "env":
      return end(new Exited({ code: 0 }), text(JSON.stringify(spec)))
    case "cat":
      return Mailbox.toStream(guest.input).pipe(
        Stream.map((bytes): RunEvent => new Output({ stream: "stdout", bytes })),
        Stream.concat(end(new Exited({ code: 0 })))
      )
    case "flood": {
      const chunk = new Uint8Array(64 * 1024).map((_, index) => (index * 7) % 251)
      return Stream.range(1, Number(word) / chunk.length).pipe(
        Stream.map((): RunEvent => new Output({ stream: "stdout", bytes: chunk })),
        Stream.rechunk(16),
        Stream.concat(end(new Exited({ code: 0 })))
      )
    }
    case "yes":
      return Stream.repeatValue<RunEvent>(text("y\n"))
    case "stubborn":
      return Stream.concat(Stream.make<[RunEvent]>(text("sleeping\n")), Stream.never)
    case "sleep":
      // Says its last words after it was told to end, as a guest that gets SIGTERM may.
      return Stream.make<[RunEvent]>(text("sleeping\n")).pipe(
        Stream.concat(Stream.fromEffect(Effect.as(Deferred.await(guest.deleted), text("bye\n") as RunEvent))),
        Stream.concat(end(new Stopped()))
      )
    default:
      return Stream.fail(new CommandNotStarted({ program, cause: "failed", reason: "not in the script" }))
  }
}

const verdict = new BackendVerdict({
  chosen: { backend: "qemu", accelerator: "tcg" },
  forced: false,
  attempts: [
    new ProbeAttempt({ backend: "libkrun", accelerator: "kvm", works: false, evidence: "no /dev/kvm", remedy: "none" }),
    new ProbeAttempt({ backend: "qemu", accelerator: "tcg", works: true, evidence: "a guest answered in 5 ms" })
  ]
})

const find = (target: string) => {
  const guest = live.get(target) ?? [...live.values()].find(({ instance }) => instance.handle === target)
  return guest === undefined ? new NotFound({ target }) : Effect.succeed(guest)
}

const run = (spec: InstanceSpec) =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const id = InstanceId.make(`inst-${next++}`)
      const { command, handle, memoryMib, vcpus } = spec
      const guest: Live = {
        instance: new Instance({
          ...{ id, state: "running", command, memoryMib, vcpus, createdAt: yield* DateTime.now },
          ...(handle === undefined ? {} : { handle })
        }),
        input: yield* Mailbox.make<Uint8Array>(),
        deleted: yield* Deferred.make<void>()
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => live.set(id, guest)),
        () => Effect.sync(() => live.delete(id))
      )
      return Stream.concat(
        Stream.make<[RunEvent, RunEvent]>(new Created({ id }), new Started({ bootMillis: 1 })),
        play(spec, guest)
      )
    })
  )

const handlers = AegisRpcs.toLayer({
  Status: () =>
    Effect.map(
      DateTime.now,
      (startedAt) =>
        new DaemonStatus({
          ...{ version, pid: process.pid, startedAt, verdict, instances: live.size },
          capabilities: new Capabilities({ pauseResume: false, bootFromDiskLayers: true })
        })
    ),
  Backend: () => Effect.succeed(verdict),
  Run: run,
  WriteStdin: ({ bytes, end, id }) =>
    Effect.flatMap(find(id), ({ input }) =>
      (bytes.length > 0 ? input.offer(bytes) : Effect.void).pipe(Effect.andThen(end ? input.end : Effect.void))
    ),
  InstanceList: () => Effect.sync(() => [...live.values()].map(({ instance }) => instance)),
  InstanceGet: ({ target }) => Effect.map(find(target), ({ instance }) => instance),
  InstanceDelete: ({ target }) =>
    Effect.flatMap(find(target), (guest) =>
      guest.instance.command[0] === "stubborn"
        ? Effect.never
        : Effect.andThen(
            Deferred.succeed(guest.deleted, undefined),
            Effect.sync(() => live.delete(guest.instance.id))
          )
    )
})

const server = Layer.unwrapScoped(
  Effect.sync(() => {
    rmSync(socket, { force: true })
    const http = createServer()
    const rpc = RpcServer.layerHttpRouter({ group: AegisRpcs, path: "/rpc", protocol: "websocket" }).pipe(
      Layer.provide([handlers, RpcSerialization.layerMsgPack])
    )
    const drop = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sync(() => http.closeAllConnections())))
    return HttpLayerRouter.serve(Layer.merge(rpc, drop), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(NodeHttpServer.layer(() => http, { path: socket }))
    )
  })
)

const pidFile = Layer.scopedDiscard(
  Effect.acquireRelease(
    Effect.sync(() => writeFileSync(daemonPidFile(home), `${process.pid}\n`)),
    () => Effect.sync(() => rmSync(daemonPidFile(home), { force: true }))
  )
)

/** One daemon per home, as the real one: an abstract socket is the lock. */
const lock = Layer.scopedDiscard(
  Effect.acquireRelease(
    Effect.async<net.Server, Error>((resume) => {
      const holder = net.createServer()
      holder.once("error", () =>
        resume(Effect.fail(new Error(`${home}/data/aegisd.lock is locked by another process`)))
      )
      holder.listen(`\0aegis-test-${home}`, () => resume(Effect.succeed(holder)))
    }),
    (holder) => Effect.sync(() => holder.close())
  )
)

const say = (document: object) => process.stdout.write(`${JSON.stringify(document)}\n`)

const [command] = process.argv.slice(2)
if (command === "rootfs") {
  say({ phase: "assemble", fraction: 0.5, detail: "half" })
  if (process.env["AEGIS_TEST_ROOTFS"] === "fails") {
    say({ error: { _tag: "RootfsUnavailable", message: "no mirror answers", remedy: "check the network" } })
    process.exitCode = 1
  } else if (process.env["AEGIS_TEST_ROOTFS"] === "hangs") {
    process.on("SIGTERM", () => {
      writeFileSync(`${home}/cleaned`, "")
      process.exit(1)
    })
    setInterval(() => {}, 1000)
  } else {
    mkdirSync(`${home}/base-rootfs`, { recursive: true })
    const record = { variant: "debian-python", source: "test", digest: "sha256:0" }
    writeFileSync(`${home}/base-rootfs/rootfs.json`, JSON.stringify(record))
    say({ phase: "done" })
  }
} else if (process.env["AEGIS_TEST_DAEMON"] === "fails") {
  process.stderr.write("cannot open the journal\n")
  process.exitCode = 3
} else if (process.env["AEGIS_TEST_DAEMON"] === "hangs") {
  setInterval(() => {}, 1000)
} else {
  Layer.launch(pidFile.pipe(Layer.provide(server), Layer.provide(lock))).pipe(
    Effect.provide(Logger.pretty),
    NodeRuntime.runMain
  )
}
