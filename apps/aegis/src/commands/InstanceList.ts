/**
 * `aegis instance list`: S-093 to S-100.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { instanceJson, instanceTable } from "../Instances.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const flags = {
  running: Options.boolean("running"),
  stopped: Options.boolean("stopped"),
  json: Options.boolean("json")
}

export const instanceList = Command.make("list", flags, ({ json, running, stopped }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const wanted = running ? "running" : stopped ? "stopped" : undefined
    const instances = yield* wanted === undefined ? aegis.list : aegis.listIn([wanted])
    yield* stdio.print(json ? jsonDocument(instances.map((one) => instanceJson(one))) : instanceTable(instances))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
