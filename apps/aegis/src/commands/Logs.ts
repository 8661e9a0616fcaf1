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
import { jsonLine } from "../Instances.ts"
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

const lineCount = Schema.NumberFromString.pipe(Schema.int(), Schema.between(0, 1_000_000_000))

export const logs = Command.make("logs", config, ({ json, timestamps, ...given }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const target = yield* readTarget(given.target)
    const tail = yield* Effect.transposeMapOption(given.tail, (text) =>
      flagValue(lineCount, "--tail", text, "--tail 100")
    )
    const since = yield* Effect.transposeMapOption(given.since, (text) =>
      flagValue(SpokenSince, "--since", text, "--since 10m, or --since 2026-02-19T10:30:00Z")
    )
    const sources = yield* Effect.forEach(given.source, (text) =>
      flagValue(LogSource, "--source", text, "--source primary, exec or system")
    )
    const [first, ...others] = sources
    const query = yield* flagValue(
      Schema.typeSchema(LogQuery),
      "logs",
      {
        follow: given.follow,
        ...Option.match(tail, { onNone: () => ({}), onSome: (count) => ({ tail: count }) }),
        ...Option.match(since, { onNone: () => ({}), onSome: (time) => ({ since: time }) }),
        ...(first === undefined ? {} : { sources: [first, ...others] }),
        ...Option.match(given.exec, { onNone: () => ({}), onSome: (execId) => ({ execId }) }),
        ...Option.match(given.grep, { onNone: () => ({}), onSome: (grep) => ({ grep }) })
      },
      "aegis logs --help"
    )
    const { id } = yield* Effect.catchTag(aegis.get(target), "NotFound", () => new LogNotFound({ target }))
    const encode = Schema.encodeSync(restLogEntry(id))
    const show = logText({ color: stdio.colorsOutput, timestamps })
    yield* Stream.runForEachChunk(aegis.logs(id, query), (chunk) =>
      json
        ? stdio.print(Array.from(chunk, (entry) => jsonLine(encode(entry))).join(""))
        : Effect.forEach(show(chunk), ({ bytes, stream }) => stdio.write(stream, bytes), { discard: true })
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
