/**
 * That the process of a guest's network crashed.
 */
import * as Schema from "effect/Schema"

/** What is told of crashes since they were last told. */
export const NetworkCrash = Schema.Struct({
  count: Schema.Int,
  /** How the last of them ended: `killed by SIGKILL`, or with which words. */
  why: Schema.String.pipe(Schema.maxLength(1024)),
  /** It was one too many in a row: the guest keeps its link, and nothing passes until its VM is started again. */
  down: Schema.optional(Schema.Boolean)
})
export type NetworkCrash = typeof NetworkCrash.Type
