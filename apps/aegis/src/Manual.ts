/**
 * What every command is called, takes and does: the one source of the help texts, the check of the command line and the shell
 * completions. It loads nothing, so that `aegis --help` answers at once.
 */

import {
  type CommandManual,
  type GroupManual,
  imageSources,
  instanceFlags,
  json,
  jsonLines,
  target
} from "./ManualEntry.ts"
import { copyCommands } from "./ManualCopy.ts"
import { execCommands } from "./ManualExec.ts"
import { imageCommands } from "./ManualImage.ts"
import { instanceCommands } from "./ManualInstance.ts"
import { mcpCommands } from "./ManualMcp.ts"
import { networkCommands } from "./ManualNetwork.ts"
import { routerCommands } from "./ManualRouter.ts"
import { secretCommands } from "./ManualSecret.ts"
import { workspaceCommands } from "./ManualWorkspace.ts"

export const groups: ReadonlyArray<GroupManual> = [
  { name: "instance", summary: "Start, show, stop and delete instances" },
  { name: "image", summary: "Pull, show and remove images" },
  { name: "secret", summary: "Keep values that guests are given by name" },
  { name: "network", summary: "Show and change what guests' networks let through" },
  { name: "workspace", summary: "Show and remove the directories that guests are given by name" },
  { name: "rootfs", summary: "Show and choose the base root file system" },
  { name: "mcp", summary: "Let agents use this machine's sandboxes" },
  { name: "audit", summary: "Check the journal of what happened" }
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
    flags: [{ name: "--keep", about: "Leave the guests running; the next daemon goes on with them" }],
    examples: ["aegis down", "aegis down --keep && aegis up"]
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
    flags: [{ name: "--fix", about: "Install Debian packages that are missing, and start aegisd" }, json],
    details:
      "Looks at what is there and asks the daemon which backend works. --fix does what needs no answer: it installs packages as root, or as a user whom sudo does\nnot ask for a password, and starts the daemon; what it may not do is said with the command that does it. It ends with 0 either way.",
    examples: ["aegis doctor", "aegis doctor --fix", "aegis doctor --json"]
  },
  {
    path: ["bug-report"],
    summary: "Write a file to send with a report of a bug",
    positionals: ["[FILE]"],
    guestCommand: false,
    flags: [],
    details:
      "Writes aegis-bug-report-TIME.tar.gz here, or FILE: the machine, the daemon and its log, instances and events by their kind.\nNo command, no variable's value, no secret and nothing that a guest has printed is in it.",
    examples: ["aegis bug-report", "aegis bug-report /tmp/report.tar.gz"]
  },
  {
    path: ["run"],
    summary: "Run a command in a microVM of its own",
    positionals: [],
    guestCommand: true,
    guestExitCode: true,
    flags: [...instanceFlags, { name: "--interactive", short: "-i", about: "Pass standard input to the command" }],
    details:
      "Boots a guest, runs the command in it, and removes the guest when the command ends. Without --workspace,\n/workspace is empty and goes with the guest. The exit code is the command's; 128 + N when signal N ended it;\n127 when it was not found, 126 when it could not be run, 125 when aegis itself failed, 130 after Ctrl+C.\n\n" +
      imageSources,
    examples: [
      'aegis run -- echo "hello from aegis"',
      "aegis run --workspace . -- python app.py",
      "aegis run --image alpine:3.21 -- cat /etc/os-release",
      "aegis run --secret API_KEY -- python app.py",
      "aegis run --env MODE=test --memory 1024 -- sh -c 'echo $MODE'",
      "tar c src | aegis run -i -- tar t"
    ]
  },
  ...instanceCommands,
  ...execCommands,
  ...copyCommands,
  ...routerCommands,
  ...imageCommands,
  ...secretCommands,
  ...networkCommands,
  ...workspaceCommands,
  {
    path: ["events"],
    summary: "Show what happened, and who asked for it",
    positionals: [`[${target}]`],
    guestCommand: false,
    flags: [
      { name: "--follow", short: "-f", about: "Go on with what happens, until Ctrl+C" },
      { name: "--since", value: "TIME", about: "Only from then on: 10m, 2h, 7d ago, or 2026-02-19T10:30:00Z" },
      jsonLines
    ],
    details: "Of one instance where it is named, also of one that is no more. Values of variables are never shown.",
    examples: ["aegis events", "aegis events web --since 1h", "aegis events --follow --json"]
  },
  {
    path: ["why"],
    summary: "Explain an instance's present state",
    positionals: [target],
    guestCommand: false,
    flags: [json],
    details:
      "Tells what it is, why, and each step that led to it since it was last started; also of one that is no more.",
    examples: ["aegis why web"]
  },
  {
    path: ["audit", "verify"],
    summary: "Check that nobody has changed the journal",
    positionals: [],
    guestCommand: false,
    flags: [json],
    details:
      "Each event holds the hash of the one before it. The exit code is 1 where the chain is broken; the event is named.",
    examples: ["aegis audit verify"]
  },
  {
    path: ["rootfs", "list"],
    summary: "List the variants of the base root file system",
    positionals: [],
    guestCommand: false,
    flags: [json],
    examples: ["aegis rootfs list"]
  },
  ...mcpCommands,
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
