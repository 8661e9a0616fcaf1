/**
 * What every command is called, takes and does: the one source of the help texts, the check of the command line and the shell
 * completions. It loads nothing, so that `aegis --help` answers at once.
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
  /** What a command line may hold after the name; all of it is required. */
  readonly positionals: ReadonlyArray<string>
  /** Whether a guest command follows `--`. */
  readonly guestCommand: boolean
  readonly flags: ReadonlyArray<FlagManual>
  readonly details?: string
  readonly examples: ReadonlyArray<string>
}

export interface GroupManual {
  readonly name: string
  readonly summary: string
}

const json: FlagManual = { name: "--json", about: "Print one JSON document" }

export const groups: ReadonlyArray<GroupManual> = [
  { name: "instance", summary: "List, show and delete instances" },
  { name: "rootfs", summary: "Show the base root file systems" }
]

const shells = ["bash", "zsh", "fish"]

export const commands: ReadonlyArray<CommandManual> = [
  {
    path: ["up"],
    summary: "Start the daemon",
    positionals: [],
    guestCommand: false,
    flags: [],
    details:
      "Starts aegisd in the background. The first time, the base root file system is made before that;\nit is shown while it is done, and kept.",
    examples: ["aegis up"]
  },
  {
    path: ["down"],
    summary: "Stop the daemon and every guest it runs",
    positionals: [],
    guestCommand: false,
    flags: [],
    examples: ["aegis down"]
  },
  {
    path: ["status"],
    summary: "Show whether the daemon runs, and its backend",
    positionals: [],
    guestCommand: false,
    flags: [json],
    examples: ["aegis status", "aegis status --json"]
  },
  {
    path: ["doctor"],
    summary: "Check what this machine has and which backend works",
    positionals: [],
    guestCommand: false,
    flags: [json],
    examples: ["aegis doctor"]
  },
  {
    path: ["run"],
    summary: "Run a command in a microVM of its own",
    positionals: [],
    guestCommand: true,
    flags: [
      { name: "--name", value: "NAME", about: "Handle of the instance" },
      { name: "--env", value: "K=V", repeats: true, about: "Set a variable in the guest" },
      {
        name: "--workspace",
        value: "NAME_OR_PATH[:ro]",
        about: "Share a named workspace, or a directory, as /workspace; it is kept"
      },
      { name: "--memory", value: "MIB", about: "Memory of the guest (default 512)" },
      { name: "--cpus", value: "N", about: "Virtual processors of the guest (default 1)" },
      { name: "--interactive", short: "-i", about: "Pass standard input to the command" }
    ],
    details:
      "Boots a guest, runs the command in it, and removes the guest when the command ends. Without --workspace,\n/workspace is empty and goes with the guest. The exit code is the command's; 128 + N when signal N ended it;\n127 when it was not found, 126 when it could not be run, 125 when aegis itself failed, 130 after Ctrl+C.",
    examples: [
      'aegis run -- echo "hello from aegis"',
      "aegis run --workspace . -- python app.py",
      "aegis run --env MODE=test --memory 1024 -- sh -c 'echo $MODE'",
      "tar c src | aegis run -i -- tar t"
    ]
  },
  {
    path: ["instance", "list"],
    summary: "List instances",
    positionals: [],
    guestCommand: false,
    flags: [
      { name: "--running", excludes: ["--stopped"], about: "Only those that run" },
      { name: "--stopped", excludes: ["--running"], about: "Only those that are stopped" },
      json
    ],
    examples: ["aegis instance list", "aegis instance list --running"]
  },
  {
    path: ["instance", "info"],
    summary: "Show one instance",
    positionals: ["HANDLE_OR_ID"],
    guestCommand: false,
    flags: [json],
    examples: ["aegis instance info web"]
  },
  {
    path: ["instance", "delete"],
    summary: "End an instance and remove every trace of it",
    positionals: ["HANDLE_OR_ID"],
    guestCommand: false,
    flags: [json],
    details: "A workspace that you named is never deleted.",
    examples: ["aegis instance delete web"]
  },
  {
    path: ["rootfs", "list"],
    summary: "List the variants of the base root file system",
    positionals: [],
    guestCommand: false,
    flags: [json],
    examples: ["aegis rootfs list"]
  },
  {
    path: ["completions"],
    summary: "Print a completion script for your shell",
    positionals: [shells.join("|")],
    guestCommand: false,
    flags: [],
    examples: ["source <(aegis completions bash)", "aegis completions fish > ~/.config/fish/completions/aegis.fish"]
  },
  {
    path: ["version"],
    summary: "Print the version",
    positionals: [],
    guestCommand: false,
    flags: [],
    examples: ["aegis version"]
  },
  {
    path: ["help"],
    summary: "Show this help, or that of a command",
    positionals: [],
    guestCommand: false,
    flags: [],
    examples: ["aegis help", "aegis help run"]
  }
]

/** The command that these words name, if they name one in full. */
export const findCommand = (path: ReadonlyArray<string>): CommandManual | undefined =>
  commands.find((command) => command.path.join(" ") === path.join(" "))

export const isGroup = (name: string): boolean => groups.some((group) => group.name === name)

/** The commands of a group such as `instance`. */
export const groupCommands = (name: string): ReadonlyArray<CommandManual> =>
  commands.filter((command) => command.path.length > 1 && command.path[0] === name)
