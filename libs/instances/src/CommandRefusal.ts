import { CommandNotStarted } from "@aegis/domain"
import type { HarnessRefused } from "@aegis/guest"

const causes = { "spawn-not-found": "not-found", "spawn-denied": "denied", "spawn-failed": "failed" } as const

/** The guest's refusal to start a program, as the public error; nothing where it refused something else. */
export const commandRefusal = (program: string, { code, message }: HarnessRefused): CommandNotStarted | undefined =>
  code === "spawn-not-found" || code === "spawn-denied" || code === "spawn-failed"
    ? new CommandNotStarted({ program, cause: causes[code], reason: message })
    : undefined
