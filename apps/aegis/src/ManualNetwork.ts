/**
 * The manual of `aegis network`.
 */
import { type CommandManual, json, jsonLines, networkFlags, networkLogFlag, target } from "./ManualEntry.ts"

export const networkCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["network", "set"],
    summary: "Change what a guest's network lets through",
    positionals: [target],
    guestCommand: false,
    flags: [...networkFlags, networkLogFlag, json],
    details:
      "The flags make the whole policy anew. It holds for new connections at once and ends open ones that it refuses, and it is\nkept over restarts. A guest that runs without a network gets one at its next start.",
    examples: [
      "aegis network set web --network none --allow api.example.com:443",
      "aegis network set web --network-log"
    ]
  },
  {
    path: ["network", "check"],
    summary: "Say whether a guest may reach a host, and why",
    positionals: [target, "[HOST:PORT]"],
    guestCommand: false,
    flags: [
      ...networkFlags,
      {
        name: "--replay",
        about: "Judge what the network has told of (network log), and say what would have been otherwise"
      },
      json
    ],
    details:
      "With any of the flags of a policy, what that one would say in place of the instance's own. The exit code is 1 where it\nis refused; with --replay, where anything that was let through would have been. That needs --network-log, without which\nonly what was refused is written down; it can also be asked of an instance that is no more.",
    examples: [
      "aegis network check web example.com:443",
      "aegis network check web 10.0.0.5:5432 --allow 10.0.0.0/8",
      "aegis network check web --replay --network none --allow pypi.org:443"
    ]
  },
  {
    path: ["network", "log"],
    summary: "Show what a guest's network refused and let through",
    positionals: [target],
    guestCommand: false,
    flags: [{ name: "--follow", short: "-f", about: "Go on with what happens, until Ctrl+C" }, jsonLines],
    details:
      "What was let through is there where the instance has --network-log, each connection at its end with its bytes and its\ntime. Also of an instance that is no more.",
    examples: ["aegis network log web", "aegis network log web --follow --json"]
  }
]
