/**
 * What an instance may take of its host (contract D-19).
 */
import * as Schema from "effect/Schema"

/** Guest memory in MiB. The floor is what the kernel and the harness need; the ceiling is checked against the host. */
export const MemoryMib = Schema.Int.pipe(
  Schema.between(64, 1_048_576, { message: () => "memory is a whole number of MiB, at least 64" }),
  Schema.brand("@aegis/MemoryMib")
)
export type MemoryMib = typeof MemoryMib.Type

/** Virtual processors. libkrun takes them as a uint8, the guest's kernel has NR_CPUS 8. */
export const VcpuCount = Schema.Int.pipe(
  Schema.between(1, 8, { message: () => "cpus is a whole number from 1 to 8" }),
  Schema.brand("@aegis/VcpuCount")
)
export type VcpuCount = typeof VcpuCount.Type

export const defaultMemoryMib = MemoryMib.make(512)
export const defaultVcpus = VcpuCount.make(1)

/** The largest sum of argv and environment in bytes that one instance may be given (T-13): the request body's cap. */
export const maxCommandBytes = 1024 * 1024
