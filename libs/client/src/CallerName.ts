/**
 * In whose name calls are made: it is written down with what they do. A program that says nothing is named after its file.
 */
import { commandLineHeaders, mcpToolHeaders, programHeaders } from "@aegis/contract"
import { ProgramName } from "@aegis/domain"
import * as RpcClient from "@effect/rpc/RpcClient"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as path from "node:path"

/** The same, with each of its calls journalled as the program's of that name, whatever the layer's is. */
export const asProgram =
  (name: ProgramName) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    RpcClient.withHeaders(effect, programHeaders(name))

/** As a tool's of an MCP server. */
export const asMcpTool =
  (tool: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    RpcClient.withHeaders(effect, mcpToolHeaders(tool))

/** As the command's of `aegis` that makes such calls: for the command line alone. */
export const asCommandLine = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  RpcClient.withHeaders(effect, commandLineHeaders)

/** What this process is called where nobody says: its script's name without the ending. */
export const ownName = (): Option.Option<ProgramName> =>
  Schema.decodeUnknownOption(ProgramName)(path.parse(process.argv[1] ?? "").name.replace(/[^\w.@+-]/g, "-"))
