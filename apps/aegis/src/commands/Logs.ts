/**
 * `aegis logs`: S-159 to S-170.
 */
import { Aegis } from "@aegis/client"
import { SpokenSince } from "@aegis/contract"
import { LogQuery, LogSource, restLogEntry } from "@aegis/domain"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { LogNotFound } from "../Errors.ts"
import { flagValue } from "../FlagValue.ts"
import { jsonLine } from "../JsonText.ts"
import { LineCount } from "../LineCount.ts"
import { logText } from "../LogText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument, textOption, textOptions } from "../Verbatim.ts"

const config = {
  target: textArgument("HANDLE_OR_ID"),
  follow: Options.boolean("follow", { aliases: ["f"] }),
  tail: Options.optional(textOption("tail")),
  since: Options.optional(textOption("since")),
  source: textOptions("source"),
  exec: Options.optional(textOption("exec")),
  grep: Options.optional(textOption("grep")),
  timestamps: Options.boolean("timestamps"),
  json: Options.boolean("json")
}

const Source = LogSource.annotations({
  message: () => ({ message: "it is one of primary, exec and system", override: true })
})

/** Says what is wrong with it before the daemon is asked; `LogQuery` has the form. */
const Exec = Schema.typeSchema(LogQuery.pipe(Schema.pick("execId")))
const Grep = Schema.typeSchema(LogQuery.pipe(Schema.pick("grep")))

export const logs = Command.make("logs", config, ({ json, timestamps, ...given }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const target = yield* readTarget(given.target)
    const tail = yield* Effect.transposeMapOption(given.tail, (text) =>
      flagValue(LineCount, "--tail", text, "--tail 100")
    )
    const since = yield* Effect.transposeMapOption(given.since, (text) =>
      flagValue(SpokenSince, "--since", text, "--since 10m, or --since 2026-02-19T10:30:00Z")
    )
    const [source, ...more] = yield* Effect.forEach(given.source, (text) =>
      flagValue(Source, "--source", text, "--source primary, --source exec or --source system")
    )
    const exec = yield* Effect.transposeMapOption(given.exec, (execId) =>
      flagValue(Exec, "--exec", { execId }, "aegis logs TARGET --source exec --json shows the ids")
    )
    const grep = yield* Effect.transposeMapOption(given.grep, (grep) =>
      flagValue(Grep, "--grep", { grep }, "--grep 'error|warning'")
    )
    const query: LogQuery = {
      follow: given.follow,
      ...Option.match(tail, { onNone: () => ({}), onSome: (tail) => ({ tail }) }),
      ...Option.match(since, { onNone: () => ({}), onSome: (since) => ({ since }) }),
      ...(source === undefined ? {} : { sources: [source, ...more] as const }),
      ...Option.getOrElse(exec, () => ({})),
      ...Option.getOrElse(grep, () => ({}))
    }
    const { id } = yield* Effect.catchTag(aegis.get(target), "NotFound", () => new LogNotFound({ target }))
    const encode = Schema.encodeSync(restLogEntry(id))
    const show = logText({
      // What is read together is coloured together (D-10).
      color: { stdout: stdio.colorsOutput, stderr: stdio.colorsOutput && stdio.color },
      timestamps
    })
    yield* Stream.runForEachChunk(aegis.logs(id, query), (chunk) =>
      json
        ? stdio.print(Array.from(chunk, (entry) => jsonLine(encode(entry))).join(""))
        : Effect.forEach(show(chunk), ({ bytes, stream }) => stdio.write(stream, bytes), { discard: true })
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
