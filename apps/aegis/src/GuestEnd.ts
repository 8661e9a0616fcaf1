/**
 * What the end of an instance means to whoever waited for its command.
 */
import type { EndReason } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import { formatError } from "./ErrorText.ts"
import { GuestLost } from "./Errors.ts"
import { deathExitCode, signalExitCode } from "./ExitCode.ts"
import { Stdio } from "./Stdio.ts"

/**
 * The exit code for it: the command's own; 128 + N for a signal; that of SIGTERM where somebody stopped it, or its idleness did,
 * since 0 would say that its command was done. Ends that are not the command's are failures.
 */
export const exitCodeOfEnd: (reason: EndReason) => Effect.Effect<number, GuestLost, Stdio> =
  Match.type<EndReason>().pipe(
    Match.tagsExhaustive({
      Exited: ({ code }) => Effect.succeed(code),
      Signaled: ({ outOfMemory, signal }) =>
        Effect.as(outOfMemory ? noteOutOfMemory : Effect.void, deathExitCode(signal)),
      Stopped: () => Effect.succeed(signalExitCode("SIGTERM")),
      Idle: () => Effect.succeed(signalExitCode("SIGTERM")),
      VmDied: ({ cause, consoleTail }) => lost(`the guest's machine died: ${cause}`, again, consoleTail),
      ChannelLost: ({ reason }) => lost(`the connection to the guest was lost: ${reason}`, again),
      HostLost: ({ reason }) => lost(`the guest was lost with its host: ${reason}`, again),
      NotStarted: ({ consoleTail, message }) => lost(message, again, consoleTail)
    })
  )

/** The machine ended, not the command. */
export const lost = (message: string, remedy: string, consoleTail = ""): Effect.Effect<never, GuestLost> =>
  new GuestLost({ message, remedy, consoleTail })

const again = "start it again; if it persists, aegis doctor checks this machine"

const noteOutOfMemory = Effect.flatMap(Stdio, (stdio) =>
  stdio.note(
    formatError(
      { message: "the guest ran out of memory and ended the command", remedy: "give it more: --memory MIB" },
      stdio.color
    )
  )
)
