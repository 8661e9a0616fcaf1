/**
 * `aegis workspace`: the named workspaces.
 */
import { Aegis } from "@aegis/client"
import { WorkspaceName } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { flagValue } from "../FlagValue.ts"
import { formatBytes } from "../ImageText.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { textArgument } from "../Verbatim.ts"
import { workspaceDetails, workspaceJson, workspaceTable } from "../WorkspaceText.ts"

const json = Options.boolean("json")
const one = { name: textArgument("NAME"), json }

const named = (text: string) => flagValue(WorkspaceName, "NAME", text, "aegis workspace list")

const print = (text: string) => Effect.flatMap(Stdio, (stdio) => stdio.print(text))

const list = Command.make("list", { json }, ({ json }) =>
  Effect.gen(function* () {
    const all = yield* (yield* Aegis).workspaceList
    yield* print(json ? jsonDocument(all.map(workspaceJson)) : workspaceTable(all))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const inspect = Command.make("inspect", one, ({ json, name }) =>
  Effect.gen(function* () {
    const found = yield* (yield* Aegis).workspaceInspect(yield* named(name))
    yield* print(json ? jsonDocument(workspaceJson(found)) : workspaceDetails(found))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const remove = Command.make("remove", one, ({ json, name }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* Aegis).workspaceRemove(yield* named(name))
    const { bytes, name: gone } = removed
    yield* print(json ? jsonDocument({ removed: gone, bytes }) : `Workspace ${gone} removed, ${formatBytes(bytes)}\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const workspace = Command.make("workspace").pipe(Command.withSubcommands([list, inspect, remove]))
