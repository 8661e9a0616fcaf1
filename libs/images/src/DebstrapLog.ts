/**
 * What mmdebstrap says while it works, and what its last words mean.
 */
import type { Process } from "@aegis/host"
import * as Option from "effect/Option"
import { createInterface } from "node:readline"
import type { Report } from "./DebianPython.ts"

export interface DebstrapLog {
  /** The last lines it has written. */
  readonly lines: () => ReadonlyArray<string>
}

const keptLines = 40

/** Its steps in their order, and how much of the whole is done where each begins, as measured over a fast network. */
const steps: ReadonlyArray<readonly [RegExp, number]> = [
  [/^running apt-get update/, 0.02],
  [/^downloading packages/, 0.15],
  [/^extracting archives/, 0.45],
  [/^installing essential packages/, 0.55],
  [/^installing remaining packages/, 0.65],
  [/^cleaning/, 0.85],
  [/^creating tarball/, 0.88]
]

/** Reports each step as it begins. */
export const followLog = (debstrap: Process.Process, report: Report): DebstrapLog => {
  const last: Array<string> = []
  Option.map(debstrap.stderr, (input) =>
    createInterface({ input }).on("line", (line) => {
      last.push(line)
      if (last.length > keptLines) last.shift()
      const detail = /^I: (.*)$/.exec(line)?.[1]
      const step = steps.find(([pattern]) => detail !== undefined && pattern.test(detail))
      if (detail !== undefined && step !== undefined) report({ phase: "packages", fraction: step[1], detail })
    })
  )
  return { lines: () => last }
}

/** Signs in the log of what a person can do about it; the first that fits. */
const remedies: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /could not resolve|could not connect|connection (refused|failed|timed out)|network is unreachable/i,
    "check the network: the Debian mirror of /etc/apt could not be reached"
  ],
  [/no space left on device|not enough free (disk )?space/i, "free some space, or set TMPDIR to a roomier directory"],
  [
    /unable to pick chroot mode|newuidmap|subuid|unshare|user namespace/i,
    "apt-get install uidmap, and give your user a range in /etc/subuid and /etc/subgid; or run aegis up once as root"
  ],
  [
    /NO_PUBKEY|not signed|invalid signature|is expired|not valid yet/i,
    "check the clock, and apt-get install debian-archive-keyring"
  ],
  [/failed to fetch|404 +not found/i, "apt-get update, then try again: the mirror is being updated or is incomplete"]
]

/** The failure in mmdebstrap's own words, and what to do. */
export const explain = (log: ReadonlyArray<string>): { readonly message: string; readonly remedy: string } => {
  const errors = log.filter((line) => /^(E|W|Err)[: ]/.test(line))
  const words = (errors.length > 0 ? errors : log).slice(-3).join("; ")
  const text = log.join("\n")
  return {
    message: `mmdebstrap failed: ${words}`,
    remedy:
      remedies.find(([sign]) => sign.test(text))?.[1] ?? "run mmdebstrap bookworm /dev/null to see all that it says"
  }
}
