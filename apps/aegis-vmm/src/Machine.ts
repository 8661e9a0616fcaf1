/**
 * From a boot request to a running guest. libkrun's own init, console and vsock heuristics are off or replaced: the harness is
 * PID 1, the guest's sockets stay in the guest, and the host reaches it through one vsock port.
 */
import {
  type BootRequest,
  channelPort,
  dropPrivileges,
  type Krun,
  type Libc,
  type Libkrunfw,
  LibraryUnusable,
  loadLibkrunfw,
  openKrun,
  workspaceTag
} from "@aegis/native-bridge"
import * as Effect from "effect/Effect"
import { consolePath } from "./ConsolePath.ts"
import { RequestRefused } from "./Input.ts"

/** Everything that can be made ready before the VM is known. */
export interface Prepared {
  readonly libc: Libc
  readonly krun: Krun
  readonly libkrunfw: Libkrunfw
  readonly console: string
}

const stderr = 2
const rootTag = "/dev/root"
/** libkrun's kernel command line says `init=/init.krun`. */
const initName = "init.krun"
const executable = 0o100755

/** Loads both libraries, libkrunfw first, and checks that this libkrun can do what a boot needs. */
export const loadLibraries = (paths: { readonly libkrun: string; readonly libkrunfw: string }) =>
  Effect.gen(function* () {
    const libkrunfw = yield* loadLibkrunfw(paths.libkrunfw)
    const krun = yield* openKrun(paths.libkrun)
    if (!(yield* krun.hasFeature("blk"))) {
      return yield* new LibraryUnusable({
        library: "libkrun",
        path: paths.libkrun,
        reason: "it is built without block devices",
        remedy: "npm run build makes the product's own; AEGIS_LIBKRUN names another"
      })
    }
    return { krun, libkrunfw }
  })

/** Loads the libraries and opens the way for the console. */
export const prepare = (libc: Libc, paths: { readonly libkrun: string; readonly libkrunfw: string }) =>
  Effect.gen(function* () {
    const console = yield* consolePath(libc)
    const { krun, libkrunfw } = yield* loadLibraries(paths)
    yield* krun.initLog(stderr, "error")
    const prepared: Prepared = { libc, krun, libkrunfw, console }
    return prepared
  })

/** Becomes the VM. Succeeds never: the process ends with the guest; fails only before the guest has begun. */
export const boot = ({ console, krun, libc }: Prepared, request: BootRequest) =>
  Effect.gen(function* () {
    const available = yield* krun.maxVcpus
    if (request.vcpus > available) {
      return yield* new RequestRefused({ reason: `${request.vcpus} vcpus; the hypervisor gives at most ${available}` })
    }
    const harness = yield* libc.pinFile(request.harness)
    const ctx = yield* krun.createContext
    yield* krun.setVmConfig(ctx, request.vcpus, request.memoryMib)
    yield* krun.disableImplicitInit(ctx)
    yield* krun.setConsoleOutput(ctx, console)
    yield* krun.addVirtiofs(ctx, rootTag, request.rootDir, true)
    yield* krun.addOverlayFile(ctx, rootTag, initName, harness, executable)
    yield* krun.disableImplicitVsock(ctx)
    yield* krun.addVsock(ctx)
    yield* krun.addVsockPort(ctx, channelPort, request.vsockPath, true)
    for (const disk of request.disks) yield* krun.addDisk(ctx, disk.id, disk.path, true)
    if (request.workspace !== null) {
      yield* krun.addVirtiofs(ctx, workspaceTag, request.workspace.path, request.workspace.readOnly)
    }
    if (request.network !== null) {
      const mac = Uint8Array.from(request.network.mac.split(":"), (byte) => Number.parseInt(byte, 16))
      yield* krun.addNetUnixStream(ctx, request.network.socket, mac)
    }
    yield* dropPrivileges(libc, { root: process.geteuid?.() === 0, workspace: request.workspace !== null })
    return yield* krun.startEnter(ctx)
  })
