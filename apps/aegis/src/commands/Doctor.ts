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
import { installMissing, type Repair, repairLines } from "../Repairs.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { askDaemon } from "./Status.ts"
import { bringUp } from "./Up.ts"

/** A daemon that hangs must not make the doctor hang; the probe of a slow machine takes a while. */
const patience = "60 seconds"

const column = 10

/** What can be put right without asking, in the order in which one needs the other. */
const repair = Effect.gen(function* () {
  const packages = yield* installMissing(yield* localTools)
  const daemon = yield* bringUp.pipe(
    Effect.match({
      onFailure: ({ message, remedy }): ReadonlyArray<Repair> => [
        { what: `start aegisd: ${escapeLine(message)}`, done: false, remedy: escapeLine(remedy) }
      ],
      onSuccess: Option.match({
        onNone: () => [],
        onSome: (pid) => [{ what: `start aegisd (pid ${pid})`, done: true }]
      })
    })
  )
  return [...packages, ...daemon]
})

const handler = ({ fix, json }: { readonly json: boolean; readonly fix: boolean }) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const repairs = fix ? yield* repair : undefined
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
        ...(repairs === undefined ? {} : { repairs }),
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
      ...(repairs === undefined ? [] : repairLines(repairs)),
      "Aegis Doctor",
      "============",
      "",
      ...tools.map(({ name, text }) => `${label(name)}${escapeLine(text)}`),
      "",
      ...daemonLines
    ]
    yield* stdio.print(`${lines.join("\n")}\n`)
  })

export const doctor = Command.make("doctor", { fix: Options.boolean("fix"), json: Options.boolean("json") }, (flags) =>
  untilSignal(handler(flags))
)
