/**
 * The manual of `aegis exec`.
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
      "An instance that is paused is resumed, one that starts is waited for; one that is stopped is an error. The exit code is\nthat of the command; 128 + N when signal N ended it; 127 when it was not found, 126 when it could not be run, 125 when\naegis itself failed. Signals such as Ctrl+C go to the command; a second one ends aegis, and the command with it.\n\nWhat a command writes that was left running is kept in the instance's log: aegis logs HANDLE_OR_ID --exec ID. --attach\nshows what nobody has read yet, and goes on from there; Ctrl+C leaves it running again. One with a terminal waits when\n1 MiB of what it shows is unread, and is not in the log.",
    examples: [
      "aegis exec web -- echo hello",
      "aegis exec -it web -- sh",
      "tar c src | aegis exec -i web -- tar x -C /workspace",
      "aegis exec --detach web -- python3 job.py",
      "aegis exec --attach exec-0123456789abcdef"
    ]
  }
]
