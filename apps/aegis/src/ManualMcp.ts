/**
 * The manual of `aegis mcp`.
 */
import type { CommandManual } from "./ManualEntry.ts"

export const mcpCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["mcp", "install"],
    summary: "Register aegis-mcp in Claude Code",
    positionals: [],
    guestCommand: false,
    flags: [{ name: "--project", about: "For all who work in this project, by its .mcp.json" }],
    details:
      "Agents start instances and run commands in them through aegis-mcp. Where Claude Code is not installed, --project\nwrites .mcp.json here, and without it the configuration is printed, to be pasted into another client's.",
    examples: ["aegis mcp install", "aegis mcp install --project"]
  },
  {
    path: ["mcp", "uninstall"],
    summary: "Remove aegis-mcp from Claude Code",
    positionals: [],
    guestCommand: false,
    flags: [],
    examples: ["aegis mcp uninstall"]
  }
]
