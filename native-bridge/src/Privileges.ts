/**
 * What a VM's process gives up before its guest begins: whoever breaks out of the guest finds as little as possible.
 */
import * as Effect from "effect/Effect"
import type { SystemCallFailed } from "./Failures.ts"
import type { Libc } from "./Libc.ts"

const PR_SET_DUMPABLE = 4
const PR_CAPBSET_READ = 23
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const RLIMIT_CORE = 4

/** capabilities(7): what libkrun's virtio-fs needs to keep owners and modes in a shared directory as the guest sets them. */
const workspaceCapabilities = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  FSETID: 4,
  SETGID: 6,
  SETUID: 7,
  MKNOD: 27
} as const

const EPERM = 1

/** The capabilities that stay, as a bit mask. */
export const keptCapabilities = (options: { readonly workspace: boolean }): bigint =>
  options.workspace ? Object.values(workspaceCapabilities).reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n) : 0n

/**
 * The command line for an `aegis-vmm` process. Node has threads of its own before any of our code runs, and a thread's
 * credentials are its own: for root, setpriv(1) takes from the whole process what no VM needs; `dropPrivileges` then takes the
 * rest from the threads that run the VM.
 *
 * @param options.setpriv its path, where it is installed (util-linux); without it root's VM threads alone are confined
 */
export const vmmCommand = (options: {
  readonly node: string
  readonly script: string
  readonly root: boolean
  readonly setpriv: string | undefined
}): { readonly command: string; readonly args: ReadonlyArray<string> } => {
  const own = [options.node, ...nodeOptions, options.script] as const
  if (!options.root || options.setpriv === undefined) return { command: own[0], args: own.slice(1) }
  const kept = Object.keys(workspaceCapabilities).map((name) => `+${name.toLowerCase()}`)
  return {
    command: options.setpriv,
    args: [`--bounding-set=-all,${kept.join(",")}`, "--inh-caps=-all", "--no-new-privs", "--", ...own]
  }
}

/** No threads for V8's background work: this process runs JavaScript for some milliseconds of its life. */
const nodeOptions = ["--v8-pool-size=0"]

/**
 * No new privileges by any exec, no core dumps, no ptrace by others of the same user; for root also no capability beyond the
 * kept ones in any set. The credentials are those of the calling thread and of every thread it starts from now on: all of
 * libkrun's. Fails rather than leave one thing undone.
 */
export const dropPrivileges = (
  libc: Libc,
  options: { readonly root: boolean; readonly workspace: boolean }
): Effect.Effect<void, SystemCallFailed> =>
  Effect.gen(function* () {
    if (options.root) yield* dropCapabilities(libc, keptCapabilities(options))
    yield* libc.setrlimit(RLIMIT_CORE, 0n)
    yield* libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    yield* libc.prctl(PR_SET_DUMPABLE, 0)
  })

const dropCapabilities = (libc: Libc, kept: bigint) =>
  Effect.gen(function* () {
    // The bounding set first: shrinking it needs a capability that capset takes away.
    for (let bit = 0; bit < 64; bit++) {
      const known = yield* Effect.option(libc.prctl(PR_CAPBSET_READ, bit))
      if (known._tag === "None") break
      if (known.value === 1 && (kept & (1n << BigInt(bit))) === 0n) {
        // A launcher (`vmmCommand`) has taken CAP_SETPCAP already; under no_new_privs no exec gains what is left in this set.
        yield* Effect.catchIf(
          libc.prctl(PR_CAPBSET_DROP, bit),
          (error) => error.errno === EPERM,
          () => Effect.void
        )
      }
    }
    yield* libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    yield* libc.capset(kept, kept)
  })
