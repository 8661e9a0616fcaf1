/**
 * `aegis status`: S-046 to S-048, D-22.
 */
import { Aegis, daemonState } from "@aegis/client"
import type { BackendVerdict, DaemonStatus } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { routerLines, statusJson, statusLines } from "../BackendReport.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"

export interface DaemonAnswer {
  readonly status: DaemonStatus
  readonly verdict: BackendVerdict
}

/** What the daemon says of itself and of its backend, if it runs. */
export const askDaemon = Effect.gen(function* () {
  if ((yield* daemonState)._tag === "Absent") return Option.none<DaemonAnswer>()
  const aegis = yield* Aegis
  const status = yield* aegis.status
  // A daemon that has not needed a backend yet chooses one now.
  const chosen = status.verdict.chosen !== undefined || status.verdict.attempts.length > 0
  return Option.some<DaemonAnswer>({ status, verdict: chosen ? status.verdict : yield* aegis.backend })
}).pipe(
  // It went between the look and the question.
  Effect.catchTag("DaemonUnreachable", (error) =>
    error.reason === "absent" ? Effect.succeed(Option.none<DaemonAnswer>()) : error
  ),
  Effect.provide(Aegis.layer)
)

const handler = ({ json }: { readonly json: boolean }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const answer = yield* askDaemon
    if (json) {
      return yield* stdio.print(
        jsonDocument(
          Option.match(answer, {
            onNone: () => ({ running: false }),
            onSome: ({ status, verdict }) => statusJson(status, verdict)
          })
        )
      )
    }
    const lines = Option.match(answer, {
      onNone: () => ["aegisd: not running"],
      onSome: ({ status, verdict }) => ["aegisd: running", ...statusLines(verdict), ...routerLines(status)]
    })
    yield* stdio.print(`${lines.join("\n")}\n`)
  })

export const status = Command.make("status", { json: Options.boolean("json") }, (flags) => untilSignal(handler(flags)))
