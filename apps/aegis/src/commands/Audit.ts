/**
 * `aegis audit verify`: whether the journal's chain of hashes holds.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { ExitWith, JournalChanged } from "../Errors.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

const auditVerify = Command.make("verify", { json: Options.boolean("json") }, ({ json }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const { events, firstBad } = yield* aegis.auditVerify
    if (json) {
      yield* stdio.print(jsonDocument({ intact: firstBad === undefined, events, first_bad: firstBad ?? null }))
      if (firstBad !== undefined) return yield* new ExitWith({ code: 1 })
    } else {
      if (firstBad !== undefined) return yield* new JournalChanged(firstBad)
      yield* stdio.print(`The journal is intact: ${events} event(s)\n`)
    }
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const audit = Command.make("audit").pipe(Command.withSubcommands([auditVerify]))
