/**
 * libkrunfw's kernel in the form in which QEMU's `microvm` machine boots it: an ELF64 file (System V ABI, AMD64) of one
 * segment, with the Xen note XEN_ELFNOTE_PHYS32_ENTRY that names the entry point (Xen's PVH boot protocol).
 */
import * as Effect from "effect/Effect"
import { KernelUnusable } from "./Failures.ts"
import type { BundledKernel } from "./Foreign.ts"

const headerSize = 64
const programHeaderSize = 56
const programHeaders = 2
const noteOffset = headerSize + programHeaders * programHeaderSize
const noteSize = 24
const segmentOffset = 4096

const PT_LOAD = 1
const PT_NOTE = 4
const PF_RWX = 7
const PF_R = 4
const XEN_ELFNOTE_PHYS32_ENTRY = 18

/** Everything before the kernel's own bytes: ELF header, two program headers, the note, zeros up to the first page's end. */
export const elfHeader = (kernel: Omit<BundledKernel, "bytes"> & { readonly size: number }): Uint8Array => {
  const page = Buffer.alloc(segmentOffset)
  page.write("\x7fELF", 0, "latin1")
  page[4] = 2 // ELFCLASS64
  page[5] = 1 // ELFDATA2LSB
  page[6] = 1 // EV_CURRENT
  page.writeUInt16LE(2, 16) // ET_EXEC
  page.writeUInt16LE(62, 18) // EM_X86_64
  page.writeUInt32LE(1, 20) // EV_CURRENT
  page.writeBigUInt64LE(kernel.entryAddress, 24)
  page.writeBigUInt64LE(BigInt(headerSize), 32) // e_phoff
  page.writeUInt16LE(headerSize, 52)
  page.writeUInt16LE(programHeaderSize, 54)
  page.writeUInt16LE(programHeaders, 56)

  const segment = headerSize
  page.writeUInt32LE(PT_LOAD, segment)
  page.writeUInt32LE(PF_RWX, segment + 4)
  page.writeBigUInt64LE(BigInt(segmentOffset), segment + 8)
  page.writeBigUInt64LE(kernel.loadAddress, segment + 16)
  page.writeBigUInt64LE(kernel.loadAddress, segment + 24)
  page.writeBigUInt64LE(BigInt(kernel.size), segment + 32)
  page.writeBigUInt64LE(BigInt(kernel.size), segment + 40)
  page.writeBigUInt64LE(BigInt(segmentOffset), segment + 48)

  const note = headerSize + programHeaderSize
  page.writeUInt32LE(PT_NOTE, note)
  page.writeUInt32LE(PF_R, note + 4)
  page.writeBigUInt64LE(BigInt(noteOffset), note + 8)
  page.writeBigUInt64LE(BigInt(noteSize), note + 32)
  page.writeBigUInt64LE(BigInt(noteSize), note + 40)
  page.writeBigUInt64LE(4n, note + 48)

  page.writeUInt32LE(4, noteOffset) // the name's size, NUL counted
  page.writeUInt32LE(8, noteOffset + 4) // the descriptor's size
  page.writeUInt32LE(XEN_ELFNOTE_PHYS32_ENTRY, noteOffset + 8)
  page.write("Xen\0", noteOffset + 12, "latin1")
  // The bundle begins with the kernel's 32-bit entry; `entryAddress` is its 64-bit one.
  page.writeBigUInt64LE(kernel.loadAddress, noteOffset + 16)
  return page
}

/**
 * The parts of the file, in order. On AMD64 the ELF header and the kernel; an ARM64 bundle is a kernel `Image` already, which
 * QEMU takes as it is.
 */
export const qemuKernel = (
  kernel: BundledKernel,
  architecture: "x64" | "arm64"
): Effect.Effect<ReadonlyArray<Uint8Array>, KernelUnusable> => {
  if (kernel.bytes.length === 0) return new KernelUnusable({ reason: "it is empty" })
  if (architecture === "arm64") return Effect.succeed([kernel.bytes])
  const end = kernel.loadAddress + BigInt(kernel.bytes.length)
  // PVH enters in 32-bit protected mode: nothing of the kernel may lie above 4 GiB.
  if (end > 0x1_0000_0000n) return new KernelUnusable({ reason: "it does not lie below 4 GiB" })
  if (kernel.entryAddress < kernel.loadAddress || kernel.entryAddress >= end) {
    return new KernelUnusable({ reason: "its entry point lies outside of it" })
  }
  return Effect.succeed([elfHeader({ ...kernel, size: kernel.bytes.length }), kernel.bytes])
}

const banner = "Linux version "

/** `6.12.91`, out of the kernel's own banner (`init/version.c`). */
export const kernelVersion = (bytes: Uint8Array): Effect.Effect<string, KernelUnusable> => {
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = image.indexOf(banner, 0, "latin1")
  // A version of more than 64 bytes has no place in utsname.
  const words = at < 0 ? "" : image.toString("latin1", at + banner.length, at + banner.length + 64)
  const version = /^[0-9A-Za-z.+_~-]+(?= )/.exec(words)?.[0]
  return version === undefined ? new KernelUnusable({ reason: "it has no version banner" }) : Effect.succeed(version)
}
