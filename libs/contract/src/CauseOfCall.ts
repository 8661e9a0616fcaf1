/**
 * What the journal holds as the cause of what a call does.
 */
import { ByCli, ByMcp, ByProgram, type EventCause, ProgramName } from "@aegis/domain"
import * as Headers from "@effect/platform/Headers"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { callerHeader } from "./CallerHeader.ts"

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
