/**
 * The tool `logs`.
 */
import { Aegis } from "@aegis/client"
import { LogQuery, LogSeq, restLogEntry, RestLogEntry } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { clipJson, page } from "../OutputLimit.ts"
import { type Tool, tool } from "../Tool.ts"
import { Target } from "./Instances.ts"

const defaultTail = 200
const mostEntries = 1000
const longestLine = 8192

const { execId, grep, sources, tail } = LogQuery.fields

const Entry = Schema.typeSchema(Schema.encodedSchema(RestLogEntry))

const Read = Schema.Struct({
  entries: Schema.Array(Entry),
  next: Schema.optional(
    LogSeq.annotations({
      description: "The last entry that was read: call again with this as `after` for what follows."
    })
  ),
  more: Schema.Boolean.annotations({ description: "Whether there is more already." })
})

export const logTools: ReadonlyArray<Tool> = [
  tool({
    name: "logs",
    title: "Read an instance's log",
    description: `Reads what an instance has printed, oldest first: the last ${defaultTail} lines, or what comes behind \`after\`. Answers at once with what there is.`,
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      ...Target.fields,
      after: Schema.optional(
        LogSeq.annotations({ description: "Go on behind this entry: `next` of the call before." })
      ),
      tail: Schema.optionalWith(
        tail.from.annotations({
          description: `Of what there is, only the last so many lines; ${defaultTail} where neither it nor \`after\` is given.`
        }),
        { exact: true }
      ),
      sources: Schema.optionalWith(
        sources.from.annotations({
          description:
            "Only what these wrote: the instance's command (primary), commands of exec, or the runtime (system)."
        }),
        { exact: true }
      ),
      exec: Schema.optionalWith(
        execId.from.annotations({
          description: "Only what this command has printed: `exec_id` of the answer of exec."
        }),
        { exact: true }
      ),
      grep: Schema.optionalWith(
        grep.from.annotations({
          description: "Only lines that this regular expression matches; it has no look-around and no back-references."
        }),
        { exact: true }
      )
    }),
    output: Read,
    handle: ({ after, exec, target, ...rest }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const { id } = yield* aegis.get(target)
        const from = after === undefined ? { tail: rest.tail ?? defaultTail } : { after }
        const encode = Schema.encodeSync(restLogEntry(id))
        const read = aegis
          .logs(id, { ...rest, ...from, ...(exec === undefined ? {} : { execId: exec }) })
          .pipe(
            Stream.mapEffect((entry) => Effect.orDie(Schema.decodeUnknown(Entry)(clipJson(encode(entry), longestLine))))
          )
        const { items, more } = yield* page(read, mostEntries)
        return { entries: items, next: items.at(-1)?.seq ?? after, more }
      })
  })
]
