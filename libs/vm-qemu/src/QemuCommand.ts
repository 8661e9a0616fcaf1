/**
 * The argument list of one QEMU: the `microvm` machine, no default devices, its own seccomp sandbox. Pure.
 */
import type { Accelerator, MemoryMib, VcpuCount } from "@aegis/domain"
import { guestMac } from "@aegis/vm"
import * as Option from "effect/Option"

export interface QemuCommandOptions {
  readonly accelerator: Accelerator
  readonly memoryMib: MemoryMib
  readonly vcpus: VcpuCount
  /** Shows in process lists. */
  readonly name: string
  readonly kernel: string
  /** The frequency of the host's time-stamp counter in kHz, where the guest can go by it. */
  readonly counterKhz: Option.Option<number>
  readonly harnessDisk: string
  readonly rootDisk?: string | undefined
  readonly channelSocket: string
  readonly qmpSocket: string
  /** The socket of a virtiofsd that serves the workspace. */
  readonly workspaceSocket?: string | undefined
  /** A socket for the guest's frames; made by QEMU. */
  readonly networkSocket?: string | undefined
}

/** The name by which the guest finds the channel's port (`/sys/class/virtio-ports/…/name`). */
export const channelPort = "aegis"
export const workspaceTag = "workspace"

/** The largest that QEMU's buffers, a frame's header, and IPv4's length leave. Its virtio-net spreads a packet over as many of the guest's buffers as it needs. */
export const networkMtu = 65_520

/** Where the root disk stands in the guest: the harness's own disk comes first. */
export const rootDevice = "/dev/vdb"

/** A value inside a QEMU option list: a comma is written twice (T-241). */
export const optionValue = (text: string) => text.replaceAll(",", ",,")

/**
 * What the guest's kernel puts into queues and never gives to anybody: virtio-mmio of QEMU has 1024 places in each, and the driver of the
 * channel and the console fills three of them with a page a place, that of the network one more. It comes on top of what was asked for.
 */
const queueMib = 16

/** libkrunfw's kernel: no ACPI, virtio-mmio on its command line, the harness as init, a reboot ends the VM. */
const kernelCommandLine =
  "console=hvc0 root=/dev/vda rootfstype=ext4 ro init=/init.krun reboot=k panic=-1 quiet loglevel=3 random.trust_cpu=on mitigations=off"

const clock = Option.match({
  onNone: () => "",
  onSome: (khz: number) => ` tsc=reliable tsc_early_khz=${khz}`
})

export const qemuArguments = (options: QemuCommandOptions): ReadonlyArray<string> => {
  const shared = options.workspaceSocket !== undefined
  const memory = options.memoryMib + queueMib
  return [
    ["-name", `guest=${optionValue(options.name)},process=aegis-qemu,debug-threads=off`],
    // The real-time clock stays: without it the guest's kernel spends two seconds more of the emulator's time on its start.
    ["-machine", `microvm,acpi=off,isa-serial=off${shared ? ",memory-backend=ram" : ""}`],
    ["-accel", options.accelerator === "tcg" ? "tcg,thread=multi" : options.accelerator],
    // Without "fast" string moves the guest's kernel copies word by word: the emulator runs rep movsb byte by byte, at half the speed.
    ["-cpu", options.accelerator === "tcg" ? "max,-erms,-fsrm" : "host"],
    ["-smp", `${options.vcpus}`],
    ["-m", `${memory}M`],
    // virtiofsd reads and writes the guest's memory itself.
    shared ? ["-object", `memory-backend-memfd,id=ram,size=${memory}M,share=on`] : [],
    ["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-global", "virtio-mmio.force-legacy=false"],
    ["-kernel", options.kernel, "-append", `${kernelCommandLine}${clock(options.counterKhz)}`],
    [
      "-chardev",
      "stdio,id=console,signal=off",
      "-device",
      "virtio-serial-device",
      "-device",
      "virtconsole,chardev=console"
    ],
    ["-chardev", `socket,id=channel,path=${optionValue(options.channelSocket)},server=on,wait=off`],
    ["-device", `virtserialport,chardev=channel,name=${channelPort}`],
    ["-chardev", `socket,id=qmp,path=${optionValue(options.qmpSocket)},server=on,wait=off`],
    ["-mon", "chardev=qmp,mode=control"],
    disk("harness", options.harnessDisk),
    options.rootDisk === undefined ? [] : disk("root", options.rootDisk),
    options.workspaceSocket === undefined
      ? []
      : [
          ...["-chardev", `socket,id=workspace,path=${optionValue(options.workspaceSocket)}`],
          ...["-device", `vhost-user-fs-device,chardev=workspace,tag=${workspaceTag}`]
        ],
    options.networkSocket === undefined
      ? []
      : [
          ...["-netdev", `stream,id=net,server=on,addr.type=unix,addr.path=${optionValue(options.networkSocket)}`],
          ...["-device", `virtio-net-device,netdev=net,mac=${guestMac}`]
        ]
  ].flat()
}

const disk = (id: string, path: string) => [
  ...[
    "-blockdev",
    JSON.stringify({
      driver: "raw",
      "node-name": id,
      "read-only": true,
      file: { driver: "file", filename: path, "read-only": true }
    })
  ],
  ...["-device", `virtio-blk-device,drive=${id},serial=${id}`]
]
