/**
 * The manual of `aegis instance`.
 */
import { type CommandManual, imageSources, instanceFlags, json, jsonLines, target } from "./ManualEntry.ts"

export const instanceCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["instance", "start"],
    summary: "Start a new instance, or a stopped one again",
    positionals: [],
    guestCommand: "--name",
    flags: [
      ...instanceFlags,
      { name: "--interactive", short: "-i", about: "Keep the command's standard input open, for aegis attach -i" },
      json
    ],
    details: `Starts a guest that outlives this command, and says so before it has booted. Where the name is that of a stopped\ninstance, that one is started again from its own configuration; one that is not stopped is left alone, which is an error.\n\n${imageSources}`,
    examples: [
      "aegis instance start --name web --workspace myapp -- python3 -m http.server 80",
      "aegis instance start --image alpine:3.21 --memory 1024 -- sh -c 'sleep 60; date'",
      "aegis instance start --name web"
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
    positionals: [target],
    guestCommand: false,
    flags: [json],
    examples: ["aegis instance info web"]
  },
  {
    path: ["instance", "stop"],
    summary: "Stop an instance and keep its record and logs",
    positionals: [target],
    guestCommand: false,
    flags: [
      {
        name: "--timeout",
        value: "TIME",
        about: "How long its command may take to end: seconds, or 30s, 5m (default 5)"
      },
      json
    ],
    details:
      "Its command gets SIGTERM, and SIGKILL when the time is over; then its machine ends. With --timeout 0 it gets no time.\nOne that is stopped already stays so.",
    examples: ["aegis instance stop web", "aegis instance stop web --timeout 30s"]
  },
  {
    path: ["instance", "delete"],
    summary: "End an instance and remove every trace of it",
    positionals: [target],
    guestCommand: false,
    flags: [json],
    details: "A workspace that you named is never deleted.",
    examples: ["aegis instance delete web"]
  },
  {
    path: ["instance", "pause"],
    summary: "Halt a running instance where it stands",
    positionals: [target],
    guestCommand: false,
    flags: [json],
    details: "Its memory stays as it is and its processor time ends, until aegis instance resume.",
    examples: ["aegis instance pause web"]
  },
  {
    path: ["instance", "resume"],
    summary: "Let a paused instance go on",
    positionals: [target],
    guestCommand: false,
    flags: [json],
    examples: ["aegis instance resume web"]
  },
  {
    path: ["instance", "prune"],
    summary: "Remove instances that stopped long ago",
    positionals: [],
    guestCommand: false,
    flags: [
      {
        name: "--stopped-older-than",
        value: "DURATION",
        about: "Only those stopped for longer: a number and s, m, h or d (default 7d)"
      },
      json
    ],
    details: "Their logs go too. Workspaces that you named are never deleted, and what is not stopped is never pruned.",
    examples: ["aegis instance prune --stopped-older-than 7d", "aegis instance prune --stopped-older-than 12h --json"]
  },
  {
    path: ["instance", "wait"],
    summary: "Wait until an instance is stopped",
    positionals: [target],
    guestCommand: false,
    guestExitCode: true,
    flags: [],
    details:
      "Prints nothing. The exit code is that of the instance's command; 128 + N when signal N ended it; 143 when somebody\nstopped it, or it was stopped for being idle; 125 when its machine died or did not start, when it was deleted, or when\naegis itself failed; 130 after Ctrl+C, which leaves the instance alone.",
    examples: ["aegis instance wait job", "aegis instance wait job && aegis instance delete job"]
  },
  {
    path: ["instance", "watch"],
    summary: "Show all instances, then every change, until Ctrl+C",
    positionals: [],
    guestCommand: false,
    flags: [jsonLines],
    examples: ["aegis instance watch", "aegis instance watch --json"]
  }
]
