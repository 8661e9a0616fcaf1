/**
 * libkrun's C interface, version 1.19, as Effects: every call that AegisVM makes, its arguments checked before and its result
 * read after. Prototypes are those of libkrun.h; the library exports them unmangled from `libkrun/src/lib.rs`.
 */
import * as Effect from "effect/Effect"
import * as Check from "./Arguments.ts"
import { errnoName } from "./Errno.ts"
import { KrunArgumentOutOfRange, KrunCallFailed, type LibraryUnusable } from "./Failures.ts"
import { addressOf, bind, loadLibkrun } from "./Foreign.ts"

/** A libkrun configuration context: a small number that `createContext` gave. */
export type ContextId = number

/** Memory that libkrun keeps a pointer to: an address that stays valid and unchanged for the process's whole life. */
export interface PinnedBytes {
  readonly address: bigint
  readonly length: number
}

type Call<A> = Effect.Effect<A, KrunCallFailed | KrunArgumentOutOfRange>

/** The features that a build of libkrun may have, by their numbers in libkrun.h. */
export const features = { net: 0, blk: 1 } as const

export interface Krun {
  readonly path: string
  /** An address inside the loaded file. */
  readonly address: bigint
  /** Sends libkrun's own messages to a file descriptor; the environment (RUST_LOG) has no say. Once per process. */
  readonly initLog: (fd: number, level: "off" | "error" | "warn" | "info" | "debug" | "trace") => Call<void>
  readonly hasFeature: (feature: keyof typeof features) => Call<boolean>
  /** How many virtual processors the hypervisor gives one VM; fails where there is no hypervisor. */
  readonly maxVcpus: Call<number>
  readonly createContext: Call<ContextId>
  /** `vcpus` 1 to 255, memory in MiB. */
  readonly setVmConfig: (ctx: ContextId, vcpus: number, memoryMib: number) => Call<void>
  readonly disableImplicitInit: (ctx: ContextId) => Call<void>
  readonly disableImplicitConsole: (ctx: ContextId) => Call<void>
  readonly disableImplicitVsock: (ctx: ContextId) => Call<void>
  /** Shares a host directory under a tag, without a DAX window. The tag `/dev/root` is the guest's root. */
  readonly addVirtiofs: (ctx: ContextId, tag: string, path: string, readOnly: boolean) => Call<void>
  /** Shows `bytes` as a file of a shared directory that the host's directory does not hold. */
  readonly addOverlayFile: (ctx: ContextId, tag: string, path: string, bytes: PinnedBytes, mode: number) => Call<void>
  /** A vsock device without TSI: the guest's sockets stay in the guest. */
  readonly addVsock: (ctx: ContextId) => Call<void>
  /** Maps a guest's vsock port to a Unix socket; `listen`: the host connects to the socket, the guest accepts. */
  readonly addVsockPort: (ctx: ContextId, port: number, socketPath: string, listen: boolean) => Call<void>
  /** A raw disk image. */
  readonly addDisk: (ctx: ContextId, id: string, path: string, readOnly: boolean) => Call<void>
  /** A network device whose frames go over a Unix stream socket, each after its length in four bytes. */
  readonly addNetUnixStream: (ctx: ContextId, socketPath: string, mac: Uint8Array) => Call<void>
  /** Where the implicit console's output goes: a path that can be opened for writing. */
  readonly setConsoleOutput: (ctx: ContextId, path: string) => Call<void>
  /** Runs the VM in this process, which ends with the guest. Returns only with an error, before the guest has begun. */
  readonly startEnter: (ctx: ContextId) => Call<never>
}

const prototypes = {
  initLog: "int32_t krun_init_log(int target, uint32_t level, uint32_t style, uint32_t options)",
  hasFeature: "int krun_has_feature(uint64_t feature)",
  maxVcpus: "int32_t krun_get_max_vcpus()",
  createContext: "int32_t krun_create_ctx()",
  setVmConfig: "int32_t krun_set_vm_config(uint32_t ctx, uint8_t vcpus, uint32_t ram_mib)",
  disableImplicitInit: "int32_t krun_disable_implicit_init(uint32_t ctx)",
  disableImplicitConsole: "int32_t krun_disable_implicit_console(uint32_t ctx)",
  disableImplicitVsock: "int32_t krun_disable_implicit_vsock(uint32_t ctx)",
  addVirtiofs:
    "int32_t krun_add_virtiofs3(uint32_t ctx, const char* tag, const char* path, uint64_t shm_size, bool read_only)",
  addOverlayFile:
    "int32_t krun_fs_add_overlay_file(uint32_t ctx, const char* tag, const char* path, const uint8_t* data, size_t len, uint32_t mode, bool one_shot)",
  addVsock: "int32_t krun_add_vsock(uint32_t ctx, uint32_t tsi_features)",
  addVsockPort: "int32_t krun_add_vsock_port2(uint32_t ctx, uint32_t port, const char* path, bool listen)",
  addDisk: "int32_t krun_add_disk2(uint32_t ctx, const char* id, const char* path, uint32_t format, bool read_only)",
  addNetUnixStream:
    "int32_t krun_add_net_unixstream(uint32_t ctx, const char* path, int fd, const uint8_t* mac, uint32_t features, uint32_t flags)",
  setConsoleOutput: "int32_t krun_set_console_output(uint32_t ctx, const char* path)",
  startEnter: "int32_t krun_start_enter(uint32_t ctx)"
} as const

const logLevels = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 } as const
const logStyleNever = 2
const logOptionNoEnvironment = 1
const tsiOff = 0
const noDaxWindow = 0
const diskFormatRaw = 0
const noDescriptor = -1

/** virtio-blk hands an id of at most 20 bytes to the guest, virtio-fs a tag of at most 36. */
const maxDiskIdBytes = 20
const maxTagBytes = 36

/**
 * Loads libkrun and binds its calls; a library without one of them is refused here, before any VM is made. libkrunfw must be
 * in the process already (`loadLibkrunfw`), or `startEnter` fails with ENOENT.
 */
export const openKrun = (path: string): Effect.Effect<Krun, LibraryUnusable> =>
  Effect.gen(function* () {
    const handle = yield* loadLibkrun(path)
    const functions = yield* Effect.all(
      Object.fromEntries(
        Object.entries(prototypes).map(([name, prototype]) => [name, bind("libkrun", path, handle, prototype)])
      )
    )

    // Every foreign call goes through here: its arguments were checked by the caller for the prototype's ranges; strings and
    // typed arrays live until it returns, and libkrun copies them (the overlay's bytes excepted, hence PinnedBytes).
    const invoke = (
      name: keyof typeof prototypes,
      ...args: ReadonlyArray<unknown>
    ): Effect.Effect<number, KrunCallFailed> =>
      Effect.suspend(() => {
        const result: unknown = functions[name]?.(...args)
        if (typeof result === "number" && result >= 0) return Effect.succeed(result)
        const errno = typeof result === "number" ? -result : 0
        return new KrunCallFailed({ call: symbolOf(name), errno, errnoName: errnoName(errno) })
      })

    const checked = (checks: ReadonlyArray<Check.Checked>, call: Effect.Effect<number, KrunCallFailed>): Call<void> =>
      Effect.zipRight(Effect.all(checks, { discard: true }), Effect.asVoid(call))

    const onContext =
      (name: "disableImplicitInit" | "disableImplicitConsole" | "disableImplicitVsock") => (ctx: ContextId) =>
        checked([Check.uint32(symbolOf(name), "ctx", ctx)], invoke(name, ctx))

    return {
      path,
      address: addressOf(handle, "krun_create_ctx"),
      initLog: (fd, level) =>
        checked(
          [Check.descriptor("krun_init_log", "target", fd)],
          invoke("initLog", fd, logLevels[level], logStyleNever, logOptionNoEnvironment)
        ),
      hasFeature: (feature) => Effect.map(invoke("hasFeature", features[feature]), (answer) => answer === 1),
      maxVcpus: invoke("maxVcpus"),
      createContext: invoke("createContext"),
      setVmConfig: (ctx, vcpus, memoryMib) =>
        checked(
          [
            Check.uint32("krun_set_vm_config", "ctx", ctx),
            Check.uint8("krun_set_vm_config", "vcpus", vcpus, 1),
            Check.uint32("krun_set_vm_config", "ram_mib", memoryMib, 1)
          ],
          invoke("setVmConfig", ctx, vcpus, memoryMib)
        ),
      disableImplicitInit: onContext("disableImplicitInit"),
      disableImplicitConsole: onContext("disableImplicitConsole"),
      disableImplicitVsock: onContext("disableImplicitVsock"),
      addVirtiofs: (ctx, tag, path, readOnly) =>
        checked(
          [
            Check.uint32("krun_add_virtiofs3", "ctx", ctx),
            Check.text("krun_add_virtiofs3", "tag", tag, maxTagBytes),
            Check.path("krun_add_virtiofs3", "path", path)
          ],
          invoke("addVirtiofs", ctx, tag, path, noDaxWindow, readOnly)
        ),
      addOverlayFile: (ctx, tag, path, bytes, mode) =>
        checked(
          [
            Check.uint32("krun_fs_add_overlay_file", "ctx", ctx),
            Check.text("krun_fs_add_overlay_file", "tag", tag, maxTagBytes),
            Check.path("krun_fs_add_overlay_file", "path", path),
            Check.uint64("krun_fs_add_overlay_file", "len", bytes.length, 1),
            Check.uint32("krun_fs_add_overlay_file", "mode", mode)
          ],
          invoke("addOverlayFile", ctx, tag, path, bytes.address, bytes.length, mode, false)
        ),
      addVsock: (ctx) => checked([Check.uint32("krun_add_vsock", "ctx", ctx)], invoke("addVsock", ctx, tsiOff)),
      addVsockPort: (ctx, port, socketPath, listen) =>
        checked(
          [
            Check.uint32("krun_add_vsock_port2", "ctx", ctx),
            Check.uint32("krun_add_vsock_port2", "port", port),
            Check.socketPath("krun_add_vsock_port2", "path", socketPath)
          ],
          invoke("addVsockPort", ctx, port, socketPath, listen)
        ),
      addDisk: (ctx, id, path, readOnly) =>
        checked(
          [
            Check.uint32("krun_add_disk2", "ctx", ctx),
            Check.text("krun_add_disk2", "id", id, maxDiskIdBytes),
            Check.path("krun_add_disk2", "path", path)
          ],
          invoke("addDisk", ctx, id, path, diskFormatRaw, readOnly)
        ),
      addNetUnixStream: (ctx, socketPath, mac) =>
        checked(
          [
            Check.uint32("krun_add_net_unixstream", "ctx", ctx),
            Check.socketPath("krun_add_net_unixstream", "path", socketPath),
            Check.mac("krun_add_net_unixstream", mac)
          ],
          invoke("addNetUnixStream", ctx, socketPath, noDescriptor, mac, 0, 0)
        ),
      setConsoleOutput: (ctx, path) =>
        checked(
          [Check.uint32("krun_set_console_output", "ctx", ctx), Check.path("krun_set_console_output", "path", path)],
          invoke("setConsoleOutput", ctx, path)
        ),
      startEnter: (ctx) =>
        Effect.zipRight(
          Check.uint32("krun_start_enter", "ctx", ctx),
          Effect.flatMap(invoke("startEnter", ctx), () =>
            Effect.dieMessage("krun_start_enter returned without an error, which it never does")
          )
        )
    }
  })

/** The symbol's name, out of its prototype. */
const symbolOf = (name: keyof typeof prototypes): string => /krun_\w+/.exec(prototypes[name])?.[0] ?? name
