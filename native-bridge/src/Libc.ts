/**
 * The calls of the C library that Node does not offer and a VM's process needs. Linux; on other systems `openLibc` fails.
 */
import * as Effect from "effect/Effect"
import koffi from "koffi"
import * as fs from "node:fs"
import { errnoName } from "./Errno.ts"
import { FileUnusable, SystemCallFailed } from "./Failures.ts"
import type { PinnedBytes } from "./Krun.ts"

type Result<A = void> = Effect.Effect<A, SystemCallFailed>

export interface Libc {
  /** prctl(2) with up to four numbers; the result for options that have one. */
  readonly prctl: (option: number, ...args: ReadonlyArray<number>) => Result<number>
  /** capset(2) for the calling thread: bit masks of the 64 possible capabilities; nothing is inheritable. */
  readonly capset: (permitted: bigint, effective: bigint) => Result
  /** setrlimit(2), soft and hard limit alike. */
  readonly setrlimit: (resource: number, limit: bigint) => Result
  /** pipe2(2) with O_CLOEXEC. */
  readonly pipe: Result<{ readonly read: number; readonly write: number }>
  /** poll(2) without a time limit, until `fd` can be read or its other end is gone. */
  readonly waitReadable: (fd: number) => Result
  /**
   * Maps a file read-only and leaves it mapped for the life of the process: its pages are shared by every process that maps
   * it, and the address never moves.
   */
  readonly pinFile: (path: string) => Effect.Effect<PinnedBytes, SystemCallFailed | FileUnusable>
}

// Each is declared with the fixed arguments that its system call takes; prctl's C prototype is variadic, which on Linux's
// x86-64 and arm64 ABIs passes integers exactly like this.
const prototypes = {
  prctl: "int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)",
  capset: "int capset(const uint8_t*, const uint8_t*)",
  setrlimit: "int setrlimit(int, const uint8_t*)",
  pipe2: "int pipe2(_Out_ int*, int)",
  poll: "int poll(_Inout_ uint8_t*, unsigned long, int)",
  mmap: "intptr_t mmap(void*, size_t, int, int, int, int64_t)"
} as const

const O_CLOEXEC = 0o2000000
const POLLIN = 1
const PROT_READ = 1
const MAP_PRIVATE = 2
const LINUX_CAPABILITY_VERSION_3 = 0x20080522
const EINTR = 4

const failure = (call: string, errno: number, remedy: string) =>
  new SystemCallFailed({ call, errno, errnoName: errnoName(errno), remedy })

const report = "this is a limit of the system's: see the manual page of the call"

/** Binds them in the program's own C library. */
export const openLibc: Effect.Effect<Libc, SystemCallFailed> = Effect.gen(function* () {
  const bound = yield* Effect.try({
    // No file is loaded: null stands for the symbols that the process has already.
    try: () => {
      const handle = koffi.load(null)
      return Object.fromEntries(Object.entries(prototypes).map(([name, text]) => [name, handle.func(text)]))
    },
    catch: () => failure("dlsym", koffi.os.errno["ENOSYS"] ?? 38, "libkrun's VMs need Linux with glibc or musl")
  })

  // Arguments are built in this file alone: sizes and layouts are those of the prototypes above. errno is read at once,
  // before any other foreign call can change it.
  const call = (name: keyof typeof prototypes, label: string, ...args: ReadonlyArray<unknown>): Result<number> =>
    Effect.suspend(() => {
      const result: unknown = bound[name]?.(...args)
      const number = typeof result === "bigint" ? Number(result) : result
      return typeof number === "number" && number !== -1
        ? Effect.succeed(number)
        : failure(label, koffi.errno(), report)
    })

  const waitReadable = (fd: number): Result =>
    Effect.suspend(() => {
      const pollfd = Buffer.alloc(8)
      pollfd.writeInt32LE(fd, 0)
      pollfd.writeInt16LE(POLLIN, 4)
      return call("poll", "poll", pollfd, 1, -1)
    }).pipe(Effect.retry({ while: (error) => error.errno === EINTR }), Effect.asVoid)

  const pinFile: Libc["pinFile"] = (path) =>
    Effect.acquireUseRelease(
      Effect.try({
        try: () => fs.openSync(path, fs.constants.O_RDONLY),
        catch: (cause) => unreadable(path, cause instanceof Error ? cause.message : String(cause))
      }),
      (fd) =>
        Effect.gen(function* () {
          const { size } = fs.fstatSync(fd)
          if (size === 0) return yield* unreadable(path, "it is empty")
          const address = yield* call("mmap", "mmap", null, size, PROT_READ, MAP_PRIVATE, fd, 0)
          return { address: BigInt(address), length: size }
        }),
      (fd) => Effect.sync(() => fs.closeSync(fd))
    )

  return {
    prctl: (option, ...args) =>
      call("prctl", `prctl(${option})`, option, args[0] ?? 0, args[1] ?? 0, args[2] ?? 0, args[3] ?? 0),
    capset: (permitted, effective) => {
      const header = Buffer.alloc(8)
      header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0)
      const data = Buffer.alloc(24)
      for (const half of [0, 1]) {
        const word = (set: bigint) => Number((set >> BigInt(32 * half)) & 0xffff_ffffn)
        data.writeUInt32LE(word(effective), half * 12)
        data.writeUInt32LE(word(permitted), half * 12 + 4)
      }
      return Effect.asVoid(call("capset", "capset", header, data))
    },
    setrlimit: (resource, limit) => {
      const both = Buffer.alloc(16)
      both.writeBigUInt64LE(limit, 0)
      both.writeBigUInt64LE(limit, 8)
      return Effect.asVoid(call("setrlimit", `setrlimit(${resource})`, resource, both))
    },
    pipe: Effect.suspend(() => {
      const ends = [-1, -1]
      return Effect.map(call("pipe2", "pipe2", ends, O_CLOEXEC), () => ({ read: ends[0] ?? -1, write: ends[1] ?? -1 }))
    }),
    waitReadable,
    pinFile
  }
})

const unreadable = (path: string, reason: string) =>
  new FileUnusable({ path, reason, remedy: "build or install aegis anew, and check that the file may be read" })
