/**
 * The tools that tell what happened and why.
 */
import { Aegis } from "@aegis/client"
import { restEvent, RestEvent } from "@aegis/contract/shapes"
import { InstanceTarget } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { clipJson, clipText, page } from "../OutputLimit.ts"
import { type Tool, tool } from "../Tool.ts"
import { Target } from "./Instances.ts"

const mostEvents = 200
const longestSentence = 8192

const Told = Schema.Struct({
  events: Schema.Array(RestEvent),
  next: Schema.optional(
    Schema.NonNegativeInt.annotations({
      description: "The last event that was read: call again with this as `after` for what follows."
    })
  ),
  more: Schema.Boolean
})

export const historyTools: ReadonlyArray<Tool> = [
  tool({
    name: "events",
    title: "Read the journal",
    description:
      "Reads what the runtime did and who asked for it, oldest first; of one instance where `target` names one, also one that is no more. Values of environments are blanked.",
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      target: Schema.optional(InstanceTarget.annotations({ description: "An instance's handle or id." })),
      after: Schema.optional(Schema.NonNegativeInt.annotations({ description: "Only events with a greater number." }))
    }),
    output: Told,
    handle: ({ after, target }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const read = aegis
          .events({ target, after, follow: false })
          .pipe(
            Stream.mapEffect((event) =>
              Effect.orDie(
                Effect.flatMap(Schema.encode(RestEvent)(restEvent(event)), (encoded) =>
                  Schema.decodeUnknown(RestEvent)(clipJson(encoded))
                )
              )
            )
          )
        const { items, more } = yield* page(read, mostEvents)
        return { events: items, next: items.at(-1)?.seq ?? after, more }
      })
  }),
  tool({
    name: "why",
    title: "Explain an instance's state",
    description: "Tells in sentences why an instance is as it is, and each step that led there.",
    effects: { readOnly: true, idempotent: true },
    input: Target,
    output: Schema.Struct({ why: Schema.Array(Schema.String) }),
    handle: ({ target }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const { items } = yield* page(
          Stream.map(Stream.fromIterable(yield* aegis.why(target)), (text) => clipText(text, longestSentence))
        )
        return { why: items }
      })
  })
]
