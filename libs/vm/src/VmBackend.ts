/**
 * What every way of running a microVM offers. All of them boot the same kernel, the same harness and the same disks.
 */
import type {
  Accelerator,
  BackendName,
  BackendUnavailable,
  BootFailed,
  BootTimeout,
  CompiledPolicy,
  DiskFull,
  MemoryMib,
  VcpuCount
} from "@aegis/domain"
import type { GuestChannel } from "@aegis/guest"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { GuestNetwork } from "./GuestNetwork.ts"

/** One VM to be made. What its guest is told to do comes later, over its channel. */
export interface VmSpec {
  /** Names the run directory and shows in process lists; of the shape `[a-z0-9-]{1,64}`. */
  readonly id: string
  readonly memoryMib: MemoryMib
  readonly vcpus: VcpuCount
  /** A read-only ext4 image that becomes the guest's `/`; a probe has none. */
  readonly rootDisk?: string | undefined
  /** A directory of the host, shared as `/workspace`. */
  readonly workspace?: { readonly path: string; readonly readOnly: boolean } | undefined
  /** What its network lets through; absent: it has none. */
  readonly network?: CompiledPolicy | undefined
}

/** How a VM's process ended. */
export interface VmEnd {
  /** In words: `exit 0`, `killed by SIGKILL`. */
  readonly cause: string
}

/** A process of a VM, told from a later one with its number by its start time. */
export const VmProcess = Schema.Struct({ name: Schema.String, pid: Schema.Int, startTime: Schema.String })

/** Where a VM is to be found by a daemon that comes after the one that booted it. */
export class VmTraces extends Schema.Class<VmTraces>("VmTraces")({
  /** The machine's boot in which it was made: after another boot there is nothing to find. */
  bootId: Schema.String,
  vmm: VmProcess,
  /** What it cannot go on without. */
  helpers: Schema.Array(VmProcess),
  directory: Schema.String,
  channelSocket: Schema.String,
  rootDevice: Schema.String,
  workspaceTag: Schema.optional(Schema.String),
  network: Schema.optional(GuestNetwork)
}) {}

/** A VM whose harness has answered. It lives as long as the scope it was booted in. */
export interface Vm {
  readonly guest: GuestChannel
  /** The VMM's process on the host; undefined where the VM is simulated. */
  readonly pid: number | undefined
  /** The device that holds the root disk, inside the guest. */
  readonly rootDevice: string
  /** The virtiofs tag of the workspace, if there is one. */
  readonly workspaceTag: string | undefined
  /** Its network, if it has one. */
  readonly network: GuestNetwork | undefined
  /** Undefined where the VM ends with this process: a simulated one. */
  readonly traces: VmTraces | undefined
  /** Succeeds when the VM's process has ended, whoever ended it. */
  readonly ended: Effect.Effect<VmEnd>
  /** The last 64 KiB that the guest's kernel and harness wrote to the console. */
  readonly consoleTail: Effect.Effect<string>
  /** Stops the VM's process where it stands (SIGSTOP); memory and processes stay. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

export type VmBootError = BackendUnavailable | BootFailed | BootTimeout | DiskFull

/** One backend with one accelerator. */
export interface VmBackend {
  readonly name: BackendName
  readonly accelerator: Accelerator
  /** Looks whether the parts are there: files, programs, device nodes. It proves nothing; only `boot` does. */
  readonly present: Effect.Effect<void, BackendUnavailable>
  /** Changes when a part changes (paths, versions, times): a cached verdict is valid for one fingerprint. */
  readonly fingerprint: Effect.Effect<string>
  /**
   * Boots a VM and succeeds once its harness has answered. Closing the scope ends the VM: its processes are reaped and its
   * run directory is removed. A failure half-way releases the rest in reverse.
   */
  readonly boot: (spec: VmSpec) => Effect.Effect<Vm, VmBootError, Scope.Scope>
}
