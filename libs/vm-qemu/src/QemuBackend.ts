/**
 * VmBackend over QEMU's `microvm` machine: a real virtual machine on any host, emulated where there is no hypervisor.
 */
import { type Accelerator, BootFailed } from "@aegis/domain"
import { AegisPaths, giveWay, Process, ProcessTable } from "@aegis/host"
import { awaitGuest, runDirectory, startNetwork, tracesOf, type Vm, type VmBackend, watchVm } from "@aegis/vm"
import { Virtiofsd } from "@aegis/workspaces"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as path from "node:path"
import { counterKhz } from "./GuestClock.ts"
import { findParts } from "./Parts.ts"
import { networkMtu, qemuArguments, rootDevice, workspaceTag } from "./QemuCommand.ts"
import * as Qmp from "./Qmp.ts"

/** QEMU with one accelerator. `tcg` emulates and works everywhere; the others need a hypervisor that really runs. */
export const make = (accelerator: Accelerator): Effect.Effect<VmBackend, never, AegisPaths> =>
  Effect.gen(function* () {
    // Only this one service: the whole context would bring the scope of whoever builds us, and a VM's resources would end up there.
    const paths = yield* AegisPaths
    const withPaths = Effect.provideService(AegisPaths, paths)
    const parts = yield* Effect.cachedWithTTL(findParts(accelerator), "1 minute")
    // A guest on a hypervisor is told by it.
    const clock = yield* Effect.cached(accelerator === "tcg" ? counterKhz : Effect.succeedNone)

    const boot: VmBackend["boot"] = Effect.fn("QemuBackend.boot")(function* (spec) {
      const { harnessDisk, kernel, net, qemu, virtiofsd } = yield* parts
      const khz = yield* clock
      const directory = yield* runDirectory(spec.id)
      const channelSocket = `${directory}/channel.sock`
      const qmpSocket = `${directory}/qmp.sock`
      const workspaceSocket = `${directory}/workspace.sock`
      const networkSocket = `${directory}/net.sock`
      const network =
        spec.network === undefined
          ? undefined
          : yield* startNetwork({
              program: net,
              policy: spec.network,
              directory,
              link: { dial: networkSocket },
              mtu: networkMtu
            })
      const helper =
        spec.workspace === undefined
          ? undefined
          : yield* Virtiofsd.serve({ ...spec.workspace, program: virtiofsd, socketPath: workspaceSocket }).pipe(
              Effect.mapError(
                ({ message, remedy }) =>
                  new BootFailed({ stage: "workspace", reason: message, consoleTail: "", remedy })
              )
            )
      const vmm = yield* Process.spawn({
        command: qemu,
        args: qemuArguments({
          accelerator,
          memoryMib: spec.memoryMib,
          vcpus: spec.vcpus,
          name: spec.id,
          kernel,
          counterKhz: khz,
          harnessDisk,
          rootDisk: spec.rootDisk,
          channelSocket,
          qmpSocket,
          workspaceSocket: helper === undefined ? undefined : workspaceSocket,
          networkSocket: network === undefined ? undefined : networkSocket
        }),
        detached: true,
        stdin: "ignore",
        stdout: "tail",
        stderr: "tail"
      }).pipe(
        Effect.mapError(
          ({ message, remedy }) => new BootFailed({ stage: "vmm", reason: message, consoleTail: "", remedy })
        )
      )
      yield* giveWay(vmm.pid)
      yield* ProcessTable.record(`${directory}/vmm.pid`, vmm.pid)
      const helpers = [
        ...(helper === undefined ? [] : [{ name: "virtiofsd", process: helper }]),
        ...(network === undefined ? [] : [network.helper])
      ]
      const guest = yield* awaitGuest(vmm, channelSocket, helpers)
      const qmp = yield* Effect.option(Qmp.connect(qmpSocket))
      if (network !== undefined) yield* network.ready
      const tag = helper === undefined ? undefined : workspaceTag
      const ended = yield* watchVm(vmm, helpers)
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
          channelSocket,
          rootDevice,
          workspaceTag: tag,
          network: network?.network
        }),
        ended: ended.pipe(
          Effect.map(({ cause }) => ({
            cause: Option.match(
              Option.flatMap(qmp, (q) => q.shutdownReason()),
              {
                onNone: () => cause,
                onSome: (reason) => `${cause} (${reason})`
              }
            )
          }))
        ),
        consoleTail: vmm.stdoutTail,
        pause: vmm.pause,
        resume: vmm.resume
      }
      return vm
    }, withPaths)

    return {
      name: "qemu",
      accelerator,
      present: Effect.asVoid(parts).pipe(withPaths),
      fingerprint: Effect.match(parts, {
        onFailure: ({ reason }) => reason,
        // The kernel's file is named by its content: a verdict also holds for another home.
        onSuccess: (found) => JSON.stringify({ ...found, kernel: path.basename(found.kernel) })
      }).pipe(withPaths),
      boot
    }
  })
