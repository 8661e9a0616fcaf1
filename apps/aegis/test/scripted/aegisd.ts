/**
 * A daemon without guests, for tests of the CLI as a process: the real contract on a real socket, with commands that act out what
 * a guest may do. Its words are those of the tests: `exit 3`, `print TEXT`, `cat`, `flood BYTES`, `sleep`, `die`, …
 */
import { AegisRpcs, rpcPath, AuditVerdict, inBatches } from "@aegis/contract"
import {
  BackendVerdict,
  Capabilities,
  DaemonStatus,
  DaemonStarted,
  daemonPidFile,
  daemonSocket,
  ExecNotFound,
  NetworkAnswer,
  NetworkReplay,
  NotFound,
  ProbeAttempt,
  version
} from "@aegis/domain"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import * as net from "node:net"
import { exec, writeExec } from "./Execs.ts"
import { readFile, writeFile } from "./Files.ts"
import { allGuests, find, watch } from "./Guests.ts"
import * as images from "./Images.ts"
import { eventsOf, record } from "./Journal.ts"
import { pause, prune, remove, restart, resume, run, start, stop, wait } from "./Lifecycle.ts"
import { logs } from "./Logs.ts"
import { expose, keepAlive, setNetwork, unexpose } from "./Reaching.ts"
import { deleteSecret, listSecrets, setSecrets } from "./Secrets.ts"
import { inspectWorkspace, listWorkspaces, removeWorkspace } from "./Workspaces.ts"

const home = process.env["AEGIS_HOME"] ?? "/nowhere"
const socket = daemonSocket(home, { uid: process.getuid?.() ?? 0, runtimeDir: process.env["XDG_RUNTIME_DIR"] })

const verdict = new BackendVerdict({
  chosen: { backend: "qemu", accelerator: "tcg" },
  forced: false,
  attempts: [
    new ProbeAttempt({ backend: "libkrun", accelerator: "kvm", works: false, evidence: "no /dev/kvm", remedy: "none" }),
    new ProbeAttempt({ backend: "qemu", accelerator: "tcg", works: true, evidence: "a guest answered in 5 ms" })
  ]
})

const handlers = AegisRpcs.toLayer({
  Status: () =>
    Effect.map(
      DateTime.now,
      (startedAt) =>
        new DaemonStatus({
          ...{ version, pid: process.pid, startedAt, verdict, instances: allGuests().length },
          router: { _tag: "RouterServing", address: "http://127.0.0.1:8099" },
          capabilities: new Capabilities({ pauseResume: false, bootFromDiskLayers: true })
        })
    ),
  Backend: () => Effect.succeed(verdict),
  Run: run,
  WriteStdin: ({ bytes, end, id }) =>
    Effect.flatMap(find(id), ({ input }) =>
      (bytes.length > 0 ? input.offer(bytes) : Effect.void).pipe(Effect.andThen(end ? input.end : Effect.void))
    ),
  InstanceList: ({ states }) =>
    Effect.sync(() =>
      allGuests()
        .map(({ instance }) => instance)
        .filter(({ state }) => states === undefined || states.includes(state))
    ),
  InstanceGet: ({ target }) => Effect.map(find(target), ({ instance }) => instance),
  Exec: ({ spec, target }) => exec(target, spec),
  ExecAttach: ({ id }) => Stream.fail(new ExecNotFound({ execId: id })),
  ExecWriteStdin: ({ bytes, end, id }) => writeExec(id, bytes, end),
  ExecResize: ({ id }) => new ExecNotFound({ execId: id }),
  ExecSignal: ({ id }) => new ExecNotFound({ execId: id }),
  FileArchive: ({ target }) => Stream.fail(new NotFound({ target })),
  FileUpload: ({ target }) => Stream.fail(new NotFound({ target })),
  FileUploadWrite: ({ id }) => new NotFound({ target: id }),
  FileRead: ({ limit, offset, path, target }) => readFile(target, path, offset, limit),
  FileWrite: ({ bytes, path, target, writing }) => writeFile(target, path, bytes, writing),
  InstanceStart: start,
  InstanceRestart: ({ handle }) => restart(handle),
  InstanceStop: ({ graceSeconds, target }) => stop(target, graceSeconds),
  InstancePause: ({ target }) => pause(target),
  InstanceResume: ({ target }) => resume(target),
  InstanceDelete: ({ target }) => remove(target),
  InstancePrune: ({ stoppedForSeconds }) => prune(stoppedForSeconds),
  InstanceKeepAlive: ({ request, target }) => keepAlive(target, request),
  InstanceExpose: ({ exposure, target }) => expose(target, exposure),
  InstanceUnexpose: ({ port, target }) => unexpose(target, port),
  NetworkSet: ({ policy, target }) => setNetwork(target, policy),
  NetworkCheck: ({ target }) =>
    Effect.as(find(target), new NetworkAnswer({ verdict: "refuse", why: "a private address", addresses: [] })),
  NetworkReplay: ({ target }) =>
    Effect.as(find(target), new NetworkReplay({ judged: 0, unnamed: 0, changed: [], more: 0 })),
  InstanceWait: ({ target }) => wait(target),
  InstanceWatch: () => watch,
  Events: ({ follow, since, target }) =>
    target === undefined
      ? eventsOf({ follow, since, instanceId: undefined })
      : Stream.unwrap(Effect.map(find(target), ({ instance: { id } }) => eventsOf({ follow, since, instanceId: id }))),
  Why: ({ target }) =>
    Effect.map(find(target), ({ instance: { state } }) => [`${target} is ${state}.`, "A guest said \u001b[2J."]),
  AuditVerify: () =>
    Effect.succeed(
      process.env["AEGIS_TEST_AUDIT"] === "broken"
        ? new AuditVerdict({ events: 2, firstBad: { seq: 3, reason: "its content was changed" } })
        : new AuditVerdict({ events: 3 })
    ),
  ImagePull: ({ refresh, source }) => images.pull(source, refresh),
  ImageLoad: ({ source }) => images.load(source),
  ImageList: () => images.list,
  ImageInspect: ({ source }) => images.inspect(source),
  ImageRemove: ({ source }) => images.remove(source),
  ImagePrune: ({ all }) => images.prune(all),
  RootfsPull: ({ variant }) => images.pullRootfs(variant),
  Logs: ({ query, target }) => Stream.mapChunks(logs(target, query), inBatches),
  SecretSet: ({ secrets }) => setSecrets(secrets),
  SecretList: () => listSecrets,
  SecretDelete: ({ name }) => deleteSecret(name),
  SecretRotateKey: () => Effect.map(listSecrets, (secrets) => secrets.length),
  WorkspaceList: () => listWorkspaces,
  WorkspaceInspect: ({ name }) => inspectWorkspace(name),
  WorkspaceRemove: ({ name }) => removeWorkspace(name),
  Leave: () =>
    Effect.sync(() => {
      writeFileSync(`${home}/left`, "")
      setTimeout(() => process.kill(process.pid, "SIGTERM"), 20)
    })
})

const server = Layer.unwrapScoped(
  Effect.sync(() => {
    rmSync(socket, { force: true })
    const http = createServer()
    const rpc = RpcServer.layerHttpRouter({ group: AegisRpcs, path: rpcPath, protocol: "websocket" }).pipe(
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
  say({ phase: "resolving", detail: "docker.io/library/python:3.12-alpine" })
  say({ _tag: "RootfsSubstituted", wanted: "python", made: "debian-python", because: "no registry answers\u001b[2J" })
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
  Effect.runSync(record("up", new DaemonStarted({ version, pid: process.pid })))
  Layer.launch(pidFile.pipe(Layer.provide(server), Layer.provide(lock))).pipe(
    Effect.provide(Logger.pretty),
    NodeRuntime.runMain
  )
}
