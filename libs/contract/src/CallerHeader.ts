/**
 * Who makes a call, in the call's headers: the command line and a tool of an MCP client say so, and so does a program by its name;
 * whoever says nothing is a program without one. It is for the journal alone and gives no rights: whoever has the socket has all of them.
 */
import { ByCli, ByMcp, ByProgram, type EventCause, ProgramName } from "@aegis/domain"
import * as Headers from "@effect/platform/Headers"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const callerHeader = "aegis-caller"

const caller = (who: string): Headers.Headers => Headers.fromInput({ [callerHeader]: who })

/** The headers of a call that `aegis` makes. */
export const commandLineHeaders: Headers.Headers = caller("cli")

/** The headers of a call that an MCP tool makes. */
export const mcpToolHeaders = (tool: string): Headers.Headers => caller(`mcp/${tool}`)

/** The headers of a call that some other program makes. */
export const programHeaders = (name: ProgramName): Headers.Headers => caller(`program/${name}`)

/** A name of ours, and nothing that somebody would like to see in a journal. */
const toolName = /^mcp\/([a-z][a-z_]{0,63})$/

const isProgramName = Schema.is(ProgramName)

/** The cause of what a call does. @param command the subcommand of `aegis` that makes such calls, such as `instance start`. */
export const causeOfCall = (command: string, { headers }: { readonly headers: Headers.Headers }): EventCause => {
  const who = Option.getOrElse(Headers.get(headers, callerHeader), () => "")
  if (who === "cli") return new ByCli({ command })
  const [, tool] = toolName.exec(who) ?? []
  if (tool !== undefined) return new ByMcp({ tool })
  const name = who.replace(/^program\//, "")
  return name !== who && isProgramName(name) ? new ByProgram({ name }) : new ByProgram({})
}
