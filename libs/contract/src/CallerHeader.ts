/**
 * Who makes a call, in the call's headers: the command line and a tool of an MCP client say so, and so does a program by its name;
 * whoever says nothing is a program without one. It is for the journal alone and gives no rights: whoever has the socket has all of them.
 */
import type { ProgramName } from "@aegis/domain"
import * as Headers from "@effect/platform/Headers"

export const callerHeader = "aegis-caller"

const caller = (who: string): Headers.Headers => Headers.fromInput({ [callerHeader]: who })

/** The headers of a call that `aegis` makes. */
export const commandLineHeaders: Headers.Headers = caller("cli")

/** The headers of a call that an MCP tool makes. */
export const mcpToolHeaders = (tool: string): Headers.Headers => caller(`mcp/${tool}`)

/** The headers of a call that some other program makes. */
export const programHeaders = (name: ProgramName): Headers.Headers => caller(`program/${name}`)
