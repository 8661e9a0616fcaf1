/**
 * VmBackend over libkrun: one `aegis-vmm` process is one VM.
 */
import { BackendUnavailable, BootFailed } from "@aegis/domain"
import { AegisPaths, giveWay, Process, ProcessTable } from "@aegis/host"
import { vmmCommand } from "@aegis/native-bridge/Privileges"
import {
  awaitGuest,
  guestMac,
  runDirectory,
  startNetwork,
  tracesOf,
  type Vm,
  type VmBackend,
  type VmBootError,
  watchVm
} from "@aegis/vm"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { findParts } from "./Parts.ts"
import * as Spare from "./Spare.ts"

/** Where the root disk stands in the guest: the only one there is. */
const rootDevice = "/dev/vda"
const workspaceTag = "workspace"

/** Ethernet's: this virtio-net puts a packet into one of the guest's buffers, which have its size. */
const networkMtu = 1500

/** What aegis-vmm writes to stderr, one line, when it cannot begin its guest. */
const VmmError = Schema.parseJson(
  Schema.Struct({ error: Schema.Struct({ _tag: Schema.String, message: Schema.String, remedy: Schema.String }) })
)

/** libkrun on this machine's hypervisor. Keeps one spare `aegis-vmm` once a VM has booted; it ends with the scope. */
export const make = Effect.gen(function* () {
  // Only this one service: the whole context would bring the scope of whoever builds us, and a VM's resources would end up there.
  const paths = yield* AegisPaths
  const withPaths = Effect.provideService(AegisPaths, paths)
  const parts = yield* Effect.cachedWithTTL(findParts, "1 minute")

  const spare = yield* Spare.make(
    Effect.gen(function* () {
      const { libkrun, libkrunfw, setpriv, vmm } = yield* Effect.orDie(parts)
      const process = yield* Process.spawn({
        ...vmmCommand({
          node: globalThis.process.execPath,
          script: vmm,
          root: globalThis.process.getuid?.() === 0,
          setpriv
        }),
        detached: true,
        stdin: "pipe",
        stdout: "tail",
        stderr: "tail"
      })
      yield* say(process, { op: "preload", libkrun, libkrunfw })
      return process
    }).pipe(withPaths)
  )

  const attempt: VmBackend["boot"] = Effect.fn("LibkrunBackend.attempt")(function* (spec) {
    const { harness, libkrun, libkrunfw, net, root } = yield* parts
    const directory = yield* runDirectory(spec.id)
    const vsockPath = `${directory}/channel.sock`
    const networkSocket = `${directory}/net.sock`
    const network =
      spec.network === undefined
        ? undefined
        : yield* startNetwork({
            program: net,
            policy: spec.network,
            directory,
            link: { listen: networkSocket },
            mtu: networkMtu
          })
    const vmm = yield* spare.take.pipe(
      Effect.mapError(
        ({ message, remedy }) => new BootFailed({ stage: "vmm", reason: message, consoleTail: "", remedy })
      )
    )
    yield* giveWay(vmm.pid)
    // Before it is more than a process that waits: one that hears nothing ends with its daemon.
    yield* ProcessTable.record(`${directory}/vmm.pid`, vmm.pid)
    if (network !== undefined) yield* network.ready
    yield* say(vmm, {
      op: "boot",
      vcpus: spec.vcpus,
      memoryMib: spec.memoryMib,
      rootDir: root,
      harness,
      disks: spec.rootDisk === undefined ? [] : [{ id: "root", path: spec.rootDisk }],
      vsockPath,
      workspace: spec.workspace ?? null,
      network: network === undefined ? null : { socket: networkSocket, mac: guestMac },
      libkrun,
      libkrunfw
    })
    const helpers = network === undefined ? [] : [network.helper]
    const guest = yield* awaitGuest(vmm, vsockPath, helpers).pipe(
      Effect.catchTag("BootFailed", (failed) => Effect.flatMap(explain(vmm, failed), Effect.fail))
    )
    // Not before this guest has booted: two processes that start up would only slow each other down.
    yield* Effect.forkDaemon(spare.refill)
    const tag = spec.workspace === undefined ? undefined : workspaceTag
    const vm: Vm = {
      guest,
      pid: vmm.pid,
      rootDevice,
      workspaceTag: tag,
      network: network?.network,
      traces: yield* tracesOf({
        vmm,
        helpers,
        directory,
        channelSocket: vsockPath,
        rootDevice,
        workspaceTag: tag,
        network: network?.network
      }),
      ended: yield* watchVm(vmm, helpers),
      consoleTail: vmm.stdoutTail,
      pause: vmm.pause,
      resume: vmm.resume
    }
    return vm
  }, withPaths)

  /** An attempt in a scope of its own: what failed is gone before the next one begins. */
  const alone: VmBackend["boot"] = (spec) =>
    Effect.gen(function* () {
      const own = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      return yield* Scope.extend(attempt(spec), own).pipe(Effect.onError(() => Scope.close(own, Exit.void)))
    })

  // A guest that goes down by itself before its harness has answered has run nothing of anybody's: it is begun once more. Seen
  // under a hypervisor that is itself emulated.
  const boot: VmBackend["boot"] = (spec) =>
    alone(spec).pipe(
      Effect.catchIf(wentDown, (failed) =>
        Effect.zipRight(Effect.logWarning(`${spec.id}: ${failed.message}; begun once more`), alone(spec))
      ),
      Effect.withSpan("LibkrunBackend.boot")
    )

  const backend: VmBackend = {
    name: "libkrun",
    accelerator: process.platform === "darwin" ? "hvf" : "kvm",
    present: Effect.asVoid(parts).pipe(withPaths),
    fingerprint: Effect.match(parts, {
      onFailure: ({ reason }) => reason,
      onSuccess: (found) => JSON.stringify(found)
    }).pipe(withPaths),
    boot
  }
  return backend
})

/** The VMM ended well, without a word, before there was a guest to talk to. */
const wentDown = (error: VmBootError) =>
  error._tag === "BootFailed" && error.stage === "vmm" && error.reason === "exit 0"

const say = (process: Process.Process, request: object) =>
  Effect.sync(() => Option.map(process.stdin, (stdin) => stdin.write(`${JSON.stringify(request)}\n`)))

/** What aegis-vmm said of itself tells more than its exit code. */
const explain = (vmm: Process.Process, failed: BootFailed): Effect.Effect<BackendUnavailable | BootFailed> =>
  Effect.flatMap(vmm.stderrTail, (text) => Schema.decode(VmmError)(text.trim().split("\n").at(-1) ?? "")).pipe(
    Effect.map(({ error }) =>
      error._tag === "LibraryUnusable"
        ? new BackendUnavailable({ backend: "libkrun", reason: error.message, remedy: error.remedy })
        : new BootFailed({ ...failed, reason: error.message, remedy: error.remedy })
    ),
    Effect.orElseSucceed(() => failed)
  )
