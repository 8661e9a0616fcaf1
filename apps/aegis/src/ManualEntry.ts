/**
 * The shape of the manual's entries.
 */

export interface FlagManual {
  /** The long name with its dashes. */
  readonly name: `--${string}`
  readonly short?: `-${string}`
  /** What its value is called; absent for a switch. */
  readonly value?: string
  readonly repeats?: true
  /** Flags that may not be given with this one. */
  readonly excludes?: ReadonlyArray<string>
  readonly about: string
}

export interface CommandManual {
  /** The words that name it: `["instance", "list"]`. */
  readonly path: readonly [string, ...Array<string>]
  readonly summary: string
  /** What a command line may hold after the name; what is in brackets may be left out. */
  readonly positionals: ReadonlyArray<string>
  /** Whether a guest command follows `--`: always, never, or unless that flag stands alone in its place. */
  readonly guestCommand: boolean | `--${string}`
  /** Where `guestCommand` names a flag: what may stand beside it, and what to do where something else does. */
  readonly alone?: { readonly beside: ReadonlyArray<string>; readonly remedy: string }
  /** Its exit code is that of a guest's command, and a failure of aegis itself 125 (D-21). */
  readonly guestExitCode?: true
  /** Its words may be a secret: no message repeats what cannot be understood. */
  readonly discreet?: true
  readonly flags: ReadonlyArray<FlagManual>
  readonly details?: string
  readonly examples: ReadonlyArray<string>
}

export interface GroupManual {
  readonly name: string
  readonly summary: string
}

export const target = "HANDLE_OR_ID"

export const json: FlagManual = { name: "--json", about: "Print one JSON document" }

export const jsonLines: FlagManual = { name: "--json", about: "Print one JSON document per line" }

/** What a guest's network lets through. */
export const networkFlags: ReadonlyArray<FlagManual> = [
  {
    name: "--network",
    value: "PROFILE",
    about: "What the guest reaches: public (default), the internet alone; none; all, the host included"
  },
  {
    name: "--allow",
    value: "HOST[:PORT]",
    repeats: true,
    about: "Let it reach a host as well: a name, *.DOMAIN, ADDRESS or ADDRESS/BITS"
  },
  { name: "--deny", value: "HOST[:PORT]", repeats: true, about: "Keep it from a host, whatever else allows it" },
  {
    name: "--allow-host",
    value: "PORT",
    repeats: true,
    about: "Let it reach a port of this machine's loopback, at host.aegis.internal"
  }
]

/** What those take besides that give an instance its policy. */
export const networkLogFlag: FlagManual = {
  name: "--network-log",
  about: "Write down each connection that is let through, at its end; aegis network log shows them"
}

/** What both `run` and `instance start` take to describe an instance. */
export const instanceFlags: ReadonlyArray<FlagManual> = [
  { name: "--name", value: "NAME", about: "Handle of the instance" },
  {
    name: "--image",
    value: "IMAGE",
    about: "Image whose files the guest has, such as alpine:3.21 (default: the base root file system)"
  },
  {
    name: "--expose",
    value: "PORT[:PROTO]",
    repeats: true,
    about: "Expose a port of the guest as http or tcp (default http); HOSTPORT:PORT chooses this machine's port"
  },
  { name: "--env", value: "K=V", repeats: true, about: "Set a variable in the guest" },
  {
    name: "--secret",
    value: "KEY[=NAME]",
    repeats: true,
    about: "Give the guest a secret as a variable; '*' gives all (default: none)"
  },
  {
    name: "--workspace",
    value: "NAME_OR_PATH[:ro]",
    about: "Share a named workspace, or a directory, as /workspace; it is kept"
  },
  ...networkFlags,
  networkLogFlag,
  { name: "--memory", value: "MIB", about: "Memory of the guest (default 512)" },
  {
    name: "--idle-pause",
    value: "TIME",
    about: "Pause it when it was idle for so long: 90s, 5m; 0 never (default 60s with --expose)"
  },
  {
    name: "--idle-stop",
    value: "TIME",
    about: "Stop it when it was idle for so long; 0 never (default 20m with --expose)"
  },
  { name: "--cpus", value: "N", about: "Virtual processors of the guest (default 1)" }
]

export const imageSources =
  "An IMAGE is a name in a registry, or a file of this machine: oci:DIR, oci-archive:FILE, docker-archive:FILE\n(each with :NAME behind it where there are several in it), or rootfs:FILE.tar. Only its files are used."
