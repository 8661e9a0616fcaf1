/**
 * `aegis doctor`: S-049 to S-055. It never fails: what cannot be found out is said.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { backendName, capabilityLines, probeLines, routerLines, statusJson } from "../BackendReport.ts"
import { escapeLine } from "../Escape.ts"
import { jsonDocument } from "../JsonText.ts"
import { localTools } from "../LocalTools.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { askDaemon } from "./Status.ts"

/** A daemon that hangs must not make the doctor hang; the probe of a slow machine takes a while. */
const patience = "60 seconds"

const column = 10

const handler = ({ json }: { readonly json: boolean }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const [tools, daemon] = yield* Effect.all(
      [
        localTools,
        askDaemon.pipe(
          Effect.mapError((error) => error.message),
          Effect.timeoutFail({ duration: patience, onTimeout: () => "it does not answer" }),
          Effect.either
        )
      ],
      { concurrency: 2 }
    )
    if (json) {
      const document = {
        tools: Object.fromEntries(
          tools.map(({ found, name, path, text }) => [name, { found, path: path ?? null, text }])
        ),
        aegisd: Either.match(daemon, {
          onLeft: (error) => ({ running: true, error }),
          onRight: Option.match({
            onNone: () => ({ running: false }),
            onSome: ({ status, verdict }) => statusJson(status, verdict)
          })
        })
      }
      return yield* stdio.print(jsonDocument(document))
    }
    const label = (name: string) => `${`${name}:`.padEnd(column - 1)} `
    const daemonLines = Either.match(daemon, {
      onLeft: (error) => [`${label("aegisd")}running, and it cannot be asked: ${escapeLine(error)}`],
      onRight: Option.match({
        onNone: () => [
          `${label("aegisd")}not running`,
          "",
          "The backend is chosen by the daemon, which boots a tiny guest to see what works:",
          "  aegis up && aegis doctor"
        ],
        onSome: ({ status, verdict }) => [
          `${label("aegisd")}running`,
          `Backend:     ${backendName(verdict)}`,
          ...probeLines(verdict),
          ...capabilityLines(status),
          ...routerLines(status)
        ]
      })
    })
    const lines = [
      "Aegis Doctor",
      "============",
      "",
      ...tools.map(({ name, text }) => `${label(name)}${escapeLine(text)}`),
      "",
      ...daemonLines
    ]
    yield* stdio.print(`${lines.join("\n")}\n`)
  })

export const doctor = Command.make("doctor", { json: Options.boolean("json") }, (flags) => untilSignal(handler(flags)))
