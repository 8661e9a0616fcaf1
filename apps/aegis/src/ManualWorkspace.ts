/**
 * The manual of `aegis workspace`.
 */
import { type CommandManual, json } from "./ManualEntry.ts"

const name = "NAME"

export const workspaceCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["workspace", "list"],
    summary: "List the named workspaces, what they take, and who uses them",
    positionals: [],
    guestCommand: false,
    flags: [json],
    details:
      "A workspace is made by the first run or instance start that names it, and kept until it is removed here:\ninstance delete and instance prune never touch one. Directories of the host are not listed; aegis instance info\nshows which one an instance has.",
    examples: ["aegis workspace list", "aegis run --workspace claw -- sh -c 'echo kept > note'"]
  },
  {
    path: ["workspace", "inspect"],
    summary: "Show where a workspace is, what it takes, and who uses it",
    positionals: [name],
    guestCommand: false,
    flags: [json],
    examples: ["aegis workspace inspect claw"]
  },
  {
    path: ["workspace", "remove"],
    summary: "Remove a workspace and all that is in it",
    positionals: [name],
    guestCommand: false,
    flags: [json],
    details:
      "It cannot be brought back. One that an instance uses is not removed, also where that instance is stopped: it would be\nempty at its next start. Links in it are removed, never what they lead to.",
    examples: ["aegis workspace remove claw"]
  }
]
