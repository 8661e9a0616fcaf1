/**
 * The harness that a guest is to start from, looked at before there is a VM: a file that was exchanged, cut off or made for another machine
 * is said to be that, and not found out by a guest that panics (T-244).
 */
import { type BackendName, BackendUnavailable } from "@aegis/domain"
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

/** `e_machine` of the ELF header (System V ABI). */
const machines: Readonly<Record<string, { readonly code: number; readonly name: string }>> = {
  x64: { code: 62, name: "x86_64" },
  arm64: { code: 183, name: "aarch64" }
}

const elfHeaderBytes = 64
const blockBytes = 4096
const superblockAt = 1024

/** The harness as a program: libkrun's guests have it as a file. */
export const harnessProgram = (backend: BackendName, file: string): Effect.Effect<string, BackendUnavailable> =>
  checked(backend, file, async (handle, size) => {
    const header = await read(handle, 0, elfHeaderBytes)
    return programFault(header) ?? ((await programEnd(handle, header)) > size ? "is cut off" : undefined)
  })

/** The harness on a disk: QEMU's guests start from an ext4 image that holds it and nothing else. */
export const harnessDisk = (backend: BackendName, file: string): Effect.Effect<string, BackendUnavailable> =>
  checked(backend, file, async (handle, size) => {
    const superblock = await read(handle, superblockAt, superblockAt)
    // s_magic, s_blocks_count_lo and s_log_block_size of the kernel's ext4 documentation.
    if (superblock.length < superblockAt || superblock.readUInt16LE(56) !== 0xef53) return "is no ext4 image"
    if (superblock.readUInt32LE(4) * (1024 << superblock.readUInt32LE(24)) > size) return "is cut off"
    for (let at = 0; at < size; at += blockBytes) {
      const header = await read(handle, at, elfHeaderBytes)
      if (isElf(header)) return programFault(header)
    }
    return "holds no harness"
  })

const isElf = (header: Buffer) => header.length === elfHeaderBytes && header.readUInt32BE(0) === 0x7f454c46

const programFault = (header: Buffer): string | undefined => {
  if (!isElf(header)) return "is no program"
  const own = machines[process.arch]
  const [found] = Object.values(machines).filter(({ code }) => code === header.readUInt16LE(18))
  // 64 bits, the lowest byte first: this machine's own form, of which the next fields are read.
  if (header[4] === 2 && header[5] === 1 && found === own) return undefined
  return `is made for ${found?.name ?? "another machine"}, and this one is ${own?.name ?? process.arch}`
}

/** Where the last of what is loaded ends. */
const programEnd = async (handle: fs.FileHandle, header: Buffer): Promise<number> => {
  const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)]
  const table = await read(handle, Number(header.readBigUInt64LE(32)), size * count)
  if (size < 56 || count === 0 || table.length < size * count) return Infinity
  const segments = Array.from({ length: count }, (_, index) => table.subarray(index * size))
  return Math.max(...segments.map((segment) => Number(segment.readBigUInt64LE(8) + segment.readBigUInt64LE(32))))
}

const read = async (handle: fs.FileHandle, at: number, length: number): Promise<Buffer> => {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}

/** No FIFO is waited for. */
const checked = (
  backend: BackendName,
  file: string,
  faultOf: (handle: fs.FileHandle, size: number) => Promise<string | undefined>
) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(file, constants.O_RDONLY | constants.O_NONBLOCK)),
    (handle) =>
      Effect.tryPromise(async () => {
        const found = await handle.stat()
        return found.isFile() ? faultOf(handle, found.size) : "is no file"
      }),
    (handle) => Effect.promise(() => handle.close())
  ).pipe(
    Effect.catchAll(({ error }) =>
      Effect.succeed(String(error).includes("ENOENT") ? "is missing" : `cannot be read: ${String(error)}`)
    ),
    Effect.flatMap((fault) =>
      fault === undefined
        ? Effect.succeed(file)
        : new BackendUnavailable({
            backend,
            reason: `${file} ${fault}`,
            remedy: "build or install aegis anew: npm run build"
          })
    )
  )
