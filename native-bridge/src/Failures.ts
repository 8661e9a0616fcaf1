/**
 * What can go wrong between TypeScript and the native libraries. Each says what failed and what to do about it; the same two
 * sentences cross the border of the `aegis-vmm` process as JSON (`VmmFailure`).
 */
import * as Data from "effect/Data"

/** A `krun_*` call returned a negative value: the error number of the C library, by its name. */
export class KrunCallFailed extends Data.TaggedError("KrunCallFailed")<{
  readonly call: string
  readonly errno: number
  readonly errnoName: string
}> {
  override get message() {
    return `${this.call} failed with ${this.errnoName}`
  }
  get remedy() {
    return remedies[`${this.call} ${this.errnoName}`] ?? "aegis doctor checks libkrun, its kernel and the hypervisor"
  }
}

const remedies: Readonly<Record<string, string>> = {
  "krun_start_enter EINVAL":
    "the lines before this one say which part of the VM could not be made; aegis doctor checks the hypervisor",
  "krun_start_enter ENOENT": "libkrun found no kernel: aegis doctor tells which libkrunfw is used",
  "krun_get_max_vcpus EINVAL": "check that /dev/kvm exists and may be opened: aegis doctor tells more",
  "krun_add_vsock_port2 EEXIST": "remove the socket file that is in the way: another VM used this path"
}

/** An argument that the C prototype could not carry unchanged; the call was not made. */
export class KrunArgumentOutOfRange extends Data.TaggedError("KrunArgumentOutOfRange")<{
  readonly call: string
  readonly argument: string
  readonly value: string
  readonly expected: string
}> {
  override get message() {
    return `${this.call}: ${this.argument} is ${this.value}, expected ${this.expected}`
  }
  get remedy() {
    return `give ${this.argument} as ${this.expected}`
  }
}

/** A library that a VM needs is not there, cannot be loaded, or is not the one it claims to be. */
export class LibraryUnusable extends Data.TaggedError("LibraryUnusable")<{
  readonly library: "libkrun" | "libkrunfw"
  readonly path: string
  readonly reason: string
  readonly remedy: string
}> {
  override get message() {
    return `${this.library} (${this.path}): ${this.reason}`
  }
}

/** A call of the C library failed. */
export class SystemCallFailed extends Data.TaggedError("SystemCallFailed")<{
  readonly call: string
  readonly errno: number
  readonly errnoName: string
  readonly remedy: string
}> {
  override get message() {
    return `${this.call} failed with ${this.errnoName}`
  }
}

/** A file on the host could not be read or written. */
export class FileUnusable extends Data.TaggedError("FileUnusable")<{
  readonly path: string
  readonly reason: string
  readonly remedy: string
}> {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** libkrunfw's kernel has not the form that can be booted. */
export class KernelUnusable extends Data.TaggedError("KernelUnusable")<{
  readonly reason: string
}> {
  override get message() {
    return `the kernel in libkrunfw cannot be used: ${this.reason}`
  }
  get remedy() {
    return "install libkrunfw 5 for this machine's architecture, or name one with AEGIS_LIBKRUNFW"
  }
}
