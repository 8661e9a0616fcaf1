/**
 * The manual of `aegis exec` and `aegis attach`.
 */
import { type CommandManual, target } from "./ManualEntry.ts"

export const execCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["exec"],
    summary: "Run a command in an instance that is there",
    positionals: [target],
    guestCommand: "--attach",
    alone: {
      beside: ["--interactive"],
      remedy: "put a command behind --, or give --attach alone, with -i to feed its standard input"
    },
    guestExitCode: true,
    flags: [
      { name: "--interactive", short: "-i", about: "Pass standard input to the command" },
      { name: "--tty", short: "-t", about: "Give the command a terminal" },
      { name: "--env", value: "K=V", repeats: true, about: "Set a variable for the command" },
      { name: "--workdir", value: "DIR", about: "The guest's directory to run it in (default: that of its command)" },
      { name: "--user", value: "UID[:GID]", about: "Whom to run it as, by number (default 0:0)" },
      {
        name: "--detach",
        short: "-d",
        excludes: ["--attach"],
        about: "Print the exec's id and leave the command running"
      },
      { name: "--attach", value: "ID", about: "Join a command that was left running" },
      { name: "--json", excludes: ["--attach"], about: "With --detach: print one JSON document" }
    ],
    details:
      "An instance that is paused is resumed, one that starts is waited for; one that is stopped is an error. The exit code is\nthat of the command; 128 + N when signal N ended it; 127 when it was not found, 126 when it could not be run, 125 when\naegis itself failed. Signals such as Ctrl+C go to the command; a second one ends aegis, and the command with it.\n\nWhat a command writes that was left running is kept in the instance's log: aegis logs HANDLE_OR_ID --exec ID. --attach\nshows what nobody has read yet, and goes on from there; Ctrl+C leaves it running again, and so do Ctrl+P Ctrl+Q in a\nterminal, which gets every other key. One with a terminal waits when 1 MiB of what it shows is unread, and is not in the\nlog.",
    examples: [
      "aegis exec web -- echo hello",
      "aegis exec -it web -- sh",
      "tar c src | aegis exec -i web -- tar x -C /workspace",
      "aegis exec --detach web -- python3 job.py",
      "aegis exec --attach exec-0123456789abcdef"
    ]
  },
  {
    path: ["attach"],
    summary: "Join what an instance's command says, until it ends",
    positionals: [target],
    guestCommand: false,
    guestExitCode: true,
    flags: [
      {
        name: "--interactive",
        short: "-i",
        about: "Pass standard input to the command, of an instance started with -i"
      },
      { name: "--tail", value: "N", about: "How many lines to begin with that it has written already (default 10)" }
    ],
    details:
      "Shows what the instance's own command writes, its standard error on standard error, and ends with its exit code; 128 + N\nwhen signal N ended it; 143 when somebody stopped or deleted the instance, or it was stopped for being idle; 125 when\nits machine died, or when aegis itself failed. Ctrl+C leaves, with 130; the command goes on. Any number may have\njoined at once. A line without its end is shown after a second.\n\nWith -i the end of standard input is the end of the command's, once and for all. An instance's command has no terminal:\naegis exec -it gives one to a command beside it.",
    examples: ["aegis attach web", "aegis attach --tail 0 web", "echo reload | aegis attach -i web"]
  }
]
