import * as Schema from "effect/Schema"
import { NotFound } from "./Errors.ts"
import { ExecLimit, ExecLost, ExecNotFound, ExecTaken, ExecUnanswered } from "./Exec.ts"
import { StartError } from "./StartError.ts"

/** Everything that running a command in an instance can fail with; of a start, what one that is waited for failed with. */
export const ExecError = Schema.Union(NotFound, ExecLimit, ExecLost, ExecUnanswered, ...StartError.members)
export type ExecError = typeof ExecError.Type

/** As for `ExecError`, of one that is joined. */
export const AttachError = Schema.Union(ExecNotFound, ExecTaken, ExecLost)
export type AttachError = typeof AttachError.Type

/** What a command that runs can refuse. */
export const ExecInputError = Schema.Union(ExecNotFound, ExecLost)
export type ExecInputError = typeof ExecInputError.Type
