/**
 * The protocol's side: tools are listed, and calls become Effects whose interruption is the call's cancellation.
 */
import { Aegis, asMcpTool } from "@aegis/client"
import { version } from "@aegis/domain"
import { Server } from "@modelcontextprotocol/sdk/server/index.js"
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js"
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListToolsRequestSchema,
  ListToolsResultSchema,
  McpError,
  type ServerNotification,
  type ServerRequest
} from "@modelcontextprotocol/sdk/types.js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { clipText, outputLimit } from "./OutputLimit.ts"
import type { Call, Failure, Tool } from "./Tool.ts"
import { tools } from "./Tools.ts"

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** Runs an Effect until it ends or the signal comes, and no longer than the server. */
export type Run = <A>(effect: Effect.Effect<A>, options: { readonly signal: AbortSignal }) => Promise<A>

const instructions =
  "AegisVM runs commands in microVMs of their own, apart from this machine. Use run for a command whose output is wanted, instance_start for what stays. Failures say what to do next; where aegisd is not running, ask the user to run: aegis up"

/** A server that has no transport yet. */
export const makeServer = (run: Run): Server => {
  const server = new Server({ name: "aegis", version }, { capabilities: { tools: {} }, instructions })
  // Its schemas were made from ours; the parse proves to the SDK that they are objects at their root.
  const listing = ListToolsResultSchema.parse({ tools: tools.map(listed) })
  server.setRequestHandler(ListToolsRequestSchema, () => listing)
  server.setRequestHandler(CallToolRequestSchema, (request, extra) => {
    const { arguments: given = {}, name } = request.params
    const tool = tools.find((candidate) => candidate.name === name)
    if (tool === undefined) throw new McpError(ErrorCode.InvalidParams, `unknown tool: ${name}`)
    return run(answer(tool, given, callOf(extra)), { signal: extra.signal })
  })
  return server
}

const listed = ({ description, effects, inputSchema, name, outputSchema, title }: Tool) => ({
  ...{ name, title, description, inputSchema, outputSchema },
  annotations: {
    title,
    readOnlyHint: effects.readOnly ?? false,
    destructiveHint: effects.destructive ?? false,
    idempotentHint: effects.idempotent ?? false,
    openWorldHint: effects.openWorld ?? false
  }
})

/** Each call has a connection of its own: a daemon that was started or replaced since the last one is found. */
const answer = (tool: Tool, given: unknown, call: Call): Effect.Effect<CallToolResult> =>
  tool.call(given, call).pipe(
    asMcpTool(tool.name),
    Effect.provide(Aegis.layer),
    Effect.exit,
    Effect.map(
      Exit.match({
        onSuccess: (content) => succeeded(content),
        onFailure: (cause) => failed(Option.getOrElse(Cause.failureOption(cause), () => defect(cause)))
      })
    )
  )

/** The text is for clients that know nothing of structured content. */
const succeeded = (content: unknown): CallToolResult => {
  const text = JSON.stringify(content)
  // Lists and output are cut by their tools; this holds for what nobody has thought of, such as thousands of variables.
  if (Buffer.byteLength(text) > outputLimit) return failed(tooLarge)
  return { content: [{ type: "text", text }], structuredContent: JSON.parse(text) }
}

const tooLarge: Failure = {
  _tag: "OutputTooLarge",
  message: `the answer has more than ${outputLimit} bytes`,
  remedy: "ask for less, or look at it with the command line: aegis help"
}

const longestMessage = 8192

const failed = ({ _tag, message, remedy }: Failure): CallToolResult => {
  const error = {
    code: _tag,
    message: clipText(message, longestMessage),
    ...(remedy === undefined ? {} : { remedy: clipText(remedy, longestMessage) })
  }
  return { isError: true, content: [{ type: "text", text: JSON.stringify({ error }) }] }
}

const defect = (cause: Cause.Cause<unknown>): Failure => ({
  _tag: "Defect",
  message: `aegis-mcp failed in itself: ${Cause.pretty(cause).split("\n")[0] ?? ""}`,
  remedy: "please report it"
})

const callOf = ({ _meta, sendNotification }: Extra): Call => {
  const progressToken = _meta?.progressToken
  if (progressToken === undefined) return { progress: () => Effect.void }
  let progress = 0
  return {
    progress: (message) =>
      // A client that has gone is found out by the end of standard input.
      Effect.ignore(
        Effect.tryPromise(() =>
          sendNotification({
            method: "notifications/progress",
            params: { progressToken, progress: ++progress, message }
          })
        )
      )
  }
}
