/**
 * The daemon's calls, each answered by a service.
 */
import { AegisRpcs, AuditVerdict, ImageLoaded } from "@aegis/contract"
import {
  ByCli,
  Capabilities,
  DaemonStatus,
  ImageRefInvalid,
  parseImageSource,
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
import * as Option from "effect/Option"
import { History } from "./History.ts"
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

const by = (command: string) => new ByCli({ command })

export const handlers = AegisRpcs.toLayer(
  Effect.gen(function* () {
    const instances = yield* Instances
    const choice = yield* BackendChoice
    const journal = yield* Journal
    const history = yield* History
    const images = yield* ImageStore
    const rootfs = yield* BaseRootfs
    const secrets = yield* Secrets
    const router = Option.getOrUndefined((yield* Router).address)
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
            instances: yield* Effect.orElseSucceed(instances.count, () => 0)
          })
        }),
      Backend: () => choice.verdict,
      Run: (spec) => instances.run(spec, by("run"), router),
      WriteStdin: ({ bytes, end, id }) => instances.writeStdin(id, bytes, end),
      Exec: ({ spec, target }) => instances.exec(target, spec, by("exec")),
      ExecAttach: ({ id }) => instances.attachExec(id, by("exec")),
      ExecWriteStdin: ({ bytes, end, id }) => instances.writeExec(id, bytes, end),
      ExecResize: ({ id, size }) => instances.resizeExec(id, size),
      ExecSignal: ({ id, signal }) => instances.signalExec(id, signal),
      InstanceStart: (spec) => Effect.map(instances.start(spec, by("instance start")), withRouter),
      InstanceRestart: ({ handle }) => Effect.map(instances.restart(handle, by("instance start")), withRouter),
      InstanceList: ({ states }) => (states === undefined ? instances.list : instances.listIn(states)),
      InstanceGet: ({ target }) => instances.get(target),
      InstanceStop: ({ graceSeconds = usualGrace, target }) =>
        instances.stop(target, Duration.seconds(graceSeconds), by("instance stop")),
      InstancePause: ({ target }) => instances.pause(target, by("instance pause")),
      InstanceResume: ({ target }) => instances.resume(target, by("instance resume")),
      InstanceDelete: ({ target }) => instances.remove(target, by("instance delete")),
      InstancePrune: ({ stoppedForSeconds }) =>
        instances.prune(Duration.seconds(stoppedForSeconds), by("instance prune")),
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
      Logs: ({ query, target }) => instances.logs(target, query),
      SecretSet: ({ secrets: given }) => secrets.set(given, by("secret set")),
      SecretList: () => secrets.list,
      SecretDelete: ({ name }) => secrets.remove(name, by("secret delete")),
      SecretRotateKey: () => secrets.rotateKey(by("secret rotate-key")),
      Leave: () =>
        Effect.gen(function* () {
          yield* instances.leave
          // The answer goes out first; a stop is the same whoever asks for it.
          yield* Effect.forkDaemon(
            Effect.zipRight(
              Effect.sleep("50 millis"),
              Effect.sync(() => process.kill(process.pid, "SIGTERM"))
            )
          )
        })
    })
  })
)
