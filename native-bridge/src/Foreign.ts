/**
 * Loads shared libraries and binds their functions: the only place where koffi's own exceptions occur.
 */
import * as Effect from "effect/Effect"
import koffi, { type LibraryHandle } from "koffi"
import { LibraryUnusable } from "./Failures.ts"
import { libkrunfwSoname } from "./Libraries.ts"

const remedies = {
  libkrun: "npm run build makes the product's own; AEGIS_LIBKRUN names another",
  libkrunfw: "install libkrunfw 5 (Debian: libkrunfw5, Fedora: libkrunfw), or name its file with AEGIS_LIBKRUNFW"
} as const

const unusable = (library: "libkrun" | "libkrunfw", path: string, reason: string) =>
  new LibraryUnusable({ library, path, reason, remedy: remedies[library] })

const reasonOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

const load = (library: "libkrun" | "libkrunfw", path: string, options: { readonly global: boolean }) =>
  Effect.try({
    // dlopen(3) of a file the person or the product chose; its constructors run in this process, which serves one VM.
    try: () => koffi.load(path, { lazy: true, global: options.global }),
    catch: (cause) => unusable(library, path, reasonOf(cause))
  })

/**
 * Binds one function by its C prototype. A missing symbol names the library's file and the symbol: an older ABI (T-220).
 */
export const bind = (library: "libkrun" | "libkrunfw", path: string, handle: LibraryHandle, prototype: string) =>
  Effect.try({
    try: () => handle.func(prototype),
    catch: (cause) => unusable(library, path, `${reasonOf(cause)}; another version is needed`)
  })

/** Where a bound function lies in this process. */
export const addressOf = (handle: LibraryHandle, symbol: string): bigint =>
  // dlsym(3) of a symbol that `bind` has found before: it is there, and koffi gives its address.
  koffi.address(handle.symbol(symbol))

/** libkrunfw's one function that we use, by the prototype in its header. */
const getKernelPrototype = "void* krunfw_get_kernel(_Out_ uint64_t*, _Out_ uint64_t*, _Out_ size_t*)"

/** The kernel inside libkrunfw: guest-physical addresses, and its bytes as they lie in the library (not a copy). */
export interface BundledKernel {
  readonly loadAddress: bigint
  readonly entryAddress: bigint
  readonly bytes: Uint8Array
}

export interface Libkrunfw {
  readonly path: string
  /** An address inside the loaded file. */
  readonly address: bigint
  readonly kernel: Effect.Effect<BundledKernel, LibraryUnusable>
}

/**
 * Loads libkrunfw and makes sure that libkrun will use this one. libkrun calls `dlopen` with the bare soname; the loader
 * answers that with a library of the same soname that is already in the process, wherever its file lies, and with the search
 * path otherwise. So libkrunfw is loaded first, and the soname must then lead to the very same kernel.
 */
export const loadLibkrunfw = (path: string): Effect.Effect<Libkrunfw, LibraryUnusable> =>
  Effect.gen(function* () {
    const handle = yield* load("libkrunfw", path, { global: true })
    const getKernel = yield* bind("libkrunfw", path, handle, getKernelPrototype)
    const byName = yield* load("libkrunfw", libkrunfwSoname, { global: false }).pipe(
      Effect.tap((found) => bind("libkrunfw", libkrunfwSoname, found, getKernelPrototype)),
      Effect.mapError(() => unusable("libkrunfw", path, `its soname is not ${libkrunfwSoname}`))
    )
    // The functions' addresses tell; their results do not: a second library's code can see the first one's data.
    if (addressOf(handle, "krunfw_get_kernel") !== addressOf(byName, "krunfw_get_kernel")) {
      return yield* unusable("libkrunfw", path, `libkrun would load another ${libkrunfwSoname} than this file`)
    }
    const where = yield* locateKernel(path, getKernel)
    const kernel = Effect.sync(() => ({
      loadAddress: where.loadAddress,
      entryAddress: where.entryAddress,
      // Static data of a library that is never unloaded, exactly as long as it told; only read.
      bytes: new Uint8Array(koffi.view(where.pointer, where.size))
    }))
    return { path, address: where.pointer, kernel }
  })

const locateKernel = (path: string, getKernel: (...out: ReadonlyArray<Array<bigint | number>>) => unknown) =>
  Effect.suspend(() => {
    const load = [0n]
    const entry = [0n]
    const size = [0]
    // Three out-parameters, each written once; the call has no other effect.
    const pointer = getKernel(load, entry, size)
    return typeof pointer === "bigint" && pointer !== 0n
      ? Effect.succeed({
          pointer,
          loadAddress: BigInt(load[0] ?? 0),
          entryAddress: BigInt(entry[0] ?? 0),
          size: Number(size[0] ?? 0)
        })
      : unusable("libkrunfw", path, "it carries no kernel")
  })

/** Loads libkrun. Its libkrunfw must have been loaded before: see {@link loadLibkrunfw}. */
export const loadLibkrun = (path: string): Effect.Effect<LibraryHandle, LibraryUnusable> =>
  load("libkrun", path, { global: false })
