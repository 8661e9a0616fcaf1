/**
 * The daemon's calls, each answered by a service.
 */
import { AegisRpcs, AuditVerdict, causeOfCall, ImageLoaded, inBatches } from "@aegis/contract"
import {
  Capabilities,
  DaemonStatus,
  ImageRefInvalid,
  parseImageSource,
  routerAddress,
  type PullProgress,
  type RootfsProgress,
  StartOutcome,
  version
} from "@aegis/domain"
import { BaseRootfs, ImageStore } from "@aegis/images"
import { Instances } from "@aegis/instances"
import { Journal } from "@aegis/journal"
import { Router } from "@aegis/router"
import { BackendChoice } from "@aegis/vm"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { History } from "./History.ts"
import { NamedWorkspaces } from "./NamedWorkspaces.ts"
import { reported } from "./Reported.ts"
import { Secrets } from "./Secrets.ts"

/** What a command may take to end after SIGTERM, where nobody said. */
const usualGrace = 5

const parseLocalSource = (text: string) =>
  Effect.filterOrFail(
    parseImageSource(text),
    (source) => source._tag !== "RegistryImage",
    () => new ImageRefInvalid({ reference: text, reason: "is no local source" })
  )

/** `end` is run when all have been left, and ends the program. */
export const handlers = (end: Effect.Effect<void>) =>
  AegisRpcs.toLayer(
    Effect.gen(function* () {
      const instances = yield* Instances
      const choice = yield* BackendChoice
      const journal = yield* Journal
      const history = yield* History
      const images = yield* ImageStore
      const rootfs = yield* BaseRootfs
      const secrets = yield* Secrets
      const workspaces = yield* NamedWorkspaces
      const { state: routerState } = yield* Router
      const router = routerAddress(routerState)
      const withRouter = (outcome: StartOutcome) => new StartOutcome({ ...outcome, router })
      const startedAt = yield* DateTime.now
      return AegisRpcs.of({
        Status: () =>
          Effect.gen(function* () {
            return new DaemonStatus({
              version,
              pid: process.pid,
              startedAt,
              verdict: yield* choice.verdict,
              capabilities: new Capabilities({ pauseResume: true, bootFromDiskLayers: true }),
              router: routerState,
              instances: yield* Effect.orElseSucceed(instances.count, () => 0)
            })
          }),
        Backend: () => choice.verdict,
        Run: (spec, call) => instances.run(spec, causeOfCall("run", call), router),
        WriteStdin: ({ bytes, end, id }) => instances.writeStdin(id, bytes, end),
        Exec: ({ spec, target }, call) => instances.exec(target, spec, causeOfCall("exec", call)),
        ExecAttach: ({ id }, call) => instances.attachExec(id, causeOfCall("exec", call)),
        ExecWriteStdin: ({ bytes, end, id }) => instances.writeExec(id, bytes, end),
        ExecResize: ({ id, size }) => instances.resizeExec(id, size),
        ExecSignal: ({ id, signal }) => instances.signalExec(id, signal),
        FileArchive: ({ path, target }, call) => instances.archive(target, path, causeOfCall("cp", call)),
        FileUpload: ({ into, path, target }, call) => instances.extract(target, path, into, causeOfCall("cp", call)),
        FileUploadWrite: ({ bytes, end, id }) => instances.writeUpload(id, bytes, end),
        FileRead: ({ limit, offset, path, target }, call) =>
          instances.readFile(target, path, offset, limit, causeOfCall("file read", call)),
        FileWrite: ({ bytes, path, target, writing }, call) =>
          instances.writeFile(target, path, bytes, writing, causeOfCall("file write", call)),
        InstanceStart: (spec, call) =>
          Effect.map(instances.start(spec, causeOfCall("instance start", call)), withRouter),
        InstanceRestart: ({ handle }, call) =>
          Effect.map(instances.restart(handle, causeOfCall("instance start", call)), withRouter),
        InstanceList: ({ states }) => (states === undefined ? instances.list : instances.listIn(states)),
        InstanceGet: ({ target }) => instances.get(target),
        InstanceStop: ({ graceSeconds = usualGrace, target }, call) =>
          instances.stop(target, Duration.seconds(graceSeconds), causeOfCall("instance stop", call)),
        InstancePause: ({ target }, call) => instances.pause(target, causeOfCall("instance pause", call)),
        InstanceResume: ({ target }, call) => instances.resume(target, causeOfCall("instance resume", call)),
        InstanceDelete: ({ target }, call) => instances.remove(target, causeOfCall("instance delete", call)),
        InstancePrune: ({ stoppedForSeconds }, call) =>
          instances.prune(Duration.seconds(stoppedForSeconds), causeOfCall("instance prune", call)),
        InstanceKeepAlive: ({ request, target }, call) =>
          instances.keepAlive(target, request, causeOfCall("keepalive", call)),
        InstanceExpose: ({ exposure, target }, call) => instances.expose(target, exposure, causeOfCall("expose", call)),
        InstanceUnexpose: ({ port, target }, call) => instances.unexpose(target, port, causeOfCall("unexpose", call)),
        NetworkSet: ({ policy, target }, call) =>
          instances.setNetwork(target, policy, causeOfCall("network set", call)),
        NetworkCheck: ({ candidate, target, to }) => instances.checkNetwork(target, to, candidate),
        NetworkReplay: ({ candidate, target }) => history.replay(target, candidate),
        InstanceWait: ({ target }) => instances.wait(target),
        InstanceWatch: () => instances.watch,
        Events: (query) => history.events(query),
        Why: ({ target }) => history.why(target),
        AuditVerify: () => Effect.map(journal.verify, (verdict) => new AuditVerdict(verdict)),
        ImagePull: ({ refresh, source }) =>
          reported((report: (step: PullProgress) => void) =>
            Effect.flatMap(parseImageSource(source), (parsed) => images.pull(parsed, { refresh, report }))
          ),
        ImageLoad: ({ source }) =>
          reported(
            (report: (step: PullProgress) => void) =>
              Effect.flatMap(parseLocalSource(source), (parsed) => images.load(parsed, report)),
            ({ names }) => [new ImageLoaded({ names })]
          ),
        ImageList: () => images.list,
        ImageInspect: ({ source }) => Effect.flatMap(parseImageSource(source), images.inspect),
        ImageRemove: ({ source }) =>
          Effect.gen(function* () {
            const parsed = yield* parseImageSource(source)
            return yield* images.remove(parsed, Effect.succeed(yield* instances.disksInUse))
          }),
        ImagePrune: ({ all }) =>
          Effect.flatMap(instances.disksInUse, (inUse) => images.prune({ all, inUse: Effect.succeed(inUse) })),
        RootfsPull: ({ variant }) =>
          reported((report: (step: RootfsProgress) => void) =>
            // A pull by name makes that variant and no other.
            rootfs.pull(variant, (step) => (step._tag === "RootfsSubstituted" ? undefined : report(step)))
          ),
        Logs: ({ query, target }) => Stream.mapChunks(instances.logs(target, query), inBatches),
        SecretSet: ({ secrets: given }, call) => secrets.set(given, causeOfCall("secret set", call)),
        SecretList: () => secrets.list,
        SecretDelete: ({ name }, call) => secrets.remove(name, causeOfCall("secret delete", call)),
        SecretRotateKey: (_, call) => secrets.rotateKey(causeOfCall("secret rotate-key", call)),
        WorkspaceList: () => workspaces.list,
        WorkspaceInspect: ({ name }) => workspaces.inspect(name),
        WorkspaceRemove: ({ name }, call) => workspaces.remove(name, causeOfCall("workspace remove", call)),
        Leave: () => Effect.zipRight(instances.leave, end)
      })
    })
  )
