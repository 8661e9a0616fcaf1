/**
 * The manual of what reaches an instance, and of what keeps it awake.
 */
import { type CommandManual, json, target } from "./ManualEntry.ts"

export const routerCommands: ReadonlyArray<CommandManual> = [
  {
    path: ["expose"],
    summary: "Let a port of this machine lead to a guest's",
    positionals: [target, "PORT[:PROTO]"],
    guestCommand: false,
    flags: [json],
    details:
      "At once, in whatever state the instance is; a connection wakes it. As with --expose it is http or tcp (default http), and\nHOSTPORT:PORT chooses this machine's port. It is kept over restarts. A port that is exposed like that already stays so.",
    examples: ["aegis expose web 80", "aegis expose db 5432/tcp", "aegis expose web 8080:80/http"]
  },
  {
    path: ["unexpose"],
    summary: "Take that port back",
    positionals: [target, "PORT"],
    guestCommand: false,
    flags: [json],
    details: "PORT is the guest's. Connections to it are reset.",
    examples: ["aegis unexpose web 80"]
  },
  {
    path: ["keepalive"],
    summary: "Keep an instance from being paused or stopped for idling",
    positionals: [target],
    guestCommand: false,
    flags: [
      { name: "--for", value: "TIME", about: "From now on for so long: 90s, 10m, 2h, at most 24h; 0 ends it" },
      { name: "--reason", value: "TEXT", about: "Why, for info, why and events to tell" },
      json
    ],
    details:
      "A later one takes the place of an earlier one. It holds over restarts of the daemon, ends with the instance's life, and\nwakes nothing. When it is over, the time of idling begins.",
    examples: ['aegis keepalive web --for 10m --reason "a build runs in it"', "aegis keepalive web --for 0"]
  }
]
