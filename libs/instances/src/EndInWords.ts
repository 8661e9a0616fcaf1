import type { EndReason } from "@aegis/domain"
import * as Match from "effect/Match"

/** How an instance ended, for the `[system]` lines of its log. The first form is the original's (contract D-23). */
export const endInWords: (reason: EndReason) => string = Match.type<EndReason>().pipe(
  Match.tagsExhaustive({
    Exited: ({ code }) => `process exited (code=${code})`,
    Signaled: ({ outOfMemory, signal }) =>
      `process ended by signal ${signal}${outOfMemory ? ": the guest was out of memory" : ""}`,
    Stopped: () => "stopped",
    Idle: () => "stopped: it was idle",
    VmDied: ({ cause }) => `the machine died: ${cause}`,
    ChannelLost: ({ reason }) => `the channel to the guest was lost: ${reason}`,
    HostLost: ({ reason }) => `lost: ${reason}`,
    NotStarted: ({ message }) => `not started: ${message}`
  })
)
