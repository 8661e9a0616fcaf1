/**
 * Why a testbed could not be made or a job in it has no exit code; `output` is what the job or the failing program had
 * printed.
 */
export class TestbedError extends Error {
  readonly kind: "missing-program" | "preparation-failed" | "timeout" | "crashed" | "aborted"
  readonly output: string
}

export interface TestbedJob {
  /** A bash script, run as root. */
  readonly script: string
  /** Boot and job together, after which the machine is ended; 120000 unless told. */
  readonly timeoutMs?: number | undefined
  /** How long nothing may be said, from the boot on; then the machine is ended, which is a `timeout` too. As long as it likes unless told. */
  readonly silenceMs?: number | undefined
  /** 4096 unless told. */
  readonly memoryMib?: number | undefined
  /** 2 unless told. */
  readonly cpus?: number | undefined
  /** Bytes of the job's disk, which is sparse on the host; 4 GiB unless told. */
  readonly dataSize?: number | undefined
  /** Where the disk's data folder appears, as $TESTBED_DATA; /var/lib/testbed unless told. */
  readonly dataPath?: string | undefined
  /** Files and folders of the host to copy onto the disk; links at `from` are followed. */
  readonly files?: ReadonlyArray<{ readonly from: string; readonly to: string }> | undefined
  /** Folders under /tmp or /var/tmp to keep; the repository and `cwd` always are. */
  readonly visible?: ReadonlyArray<string> | undefined
  /** The host's current directory unless told. */
  readonly cwd?: string | undefined
  /** Joins PATH, HOME, LANG, TESTBED_DATA and AEGIS_HOME; nothing else of the host's environment is passed on. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Called with each line of the job's stdout and stderr while it runs. */
  readonly onLine?: ((line: string) => void) | undefined
  /** Called with each step of the machine's first preparation. */
  readonly report?: ((line: string) => void) | undefined
  /** Ends the machine; the run then rejects with a TestbedError of kind `aborted`. */
  readonly signal?: AbortSignal | undefined
  readonly cacheDir?: string | undefined
}

export interface TestbedResult {
  readonly exitCode: number
  /** stdout and stderr as they came, at most the last 64 Mi characters. */
  readonly output: string
  readonly bootMs: number
  readonly jobMs: number
}

/**
 * Where built things are kept between runs: $AEGIS_BUILD_CACHE, else $XDG_CACHE_HOME/aegis-build, else
 * ~/.cache/aegis-build.
 */
export function defaultCache(): string

/**
 * Makes the machine's kernel and initramfs, or finds them in the cache: needs the network the first time only, never
 * root.
 */
export function ensureTestbed(
  cacheDir?: string,
  options?: { readonly report?: ((line: string) => void) | undefined }
): Promise<{ readonly kernel: string; readonly initrd: string; readonly release: string; readonly busybox: string }>

/**
 * Boots the machine, runs the script in it and resolves when the machine is gone; rejects with a TestbedError when it
 * has no exit code.
 */
export function runInTestbed(job: TestbedJob): Promise<TestbedResult>
