/**
 * The daemon's calls for what has happened: the journal and the logs.
 */
import {
  InstanceTarget,
  InvalidArgument,
  JournalEvent,
  LogQuery,
  LogUnavailable,
  NotFound,
  StoreError
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { LogBatch } from "./LogBatch.ts"

const target = { target: InstanceTarget }
const ofOne = Schema.Union(NotFound, StoreError)

/** How the journal's chain of hashes holds: how many events there are, and the first that does not fit, if one does not. */
export class AuditVerdict extends Schema.Class<AuditVerdict>("AuditVerdict")({
  events: Schema.Int,
  firstBad: Schema.optional(Schema.Struct({ seq: Schema.Int, reason: Schema.String }))
}) {}

export class HistoryRpcs extends RpcGroup.make(
  /** What the journal holds, oldest first; of one instance where `target` names one, also one that is no more. Values of environments are blanked. */
  Rpc.make("Events", {
    payload: {
      target: Schema.optional(InstanceTarget),
      after: Schema.optional(Schema.NonNegativeInt),
      since: Schema.optional(Schema.DateTimeUtc),
      follow: Schema.Boolean
    },
    success: JournalEvent,
    error: ofOne,
    stream: true
  }),
  /** The chain of causes behind an instance's present state, in sentences. */
  Rpc.make("Why", { payload: target, success: Schema.Array(Schema.String), error: ofOne }),
  Rpc.make("AuditVerify", { success: AuditVerdict, error: StoreError }),
  /** An instance's log; with `query.follow` also what comes, until the instance is deleted. */
  Rpc.make("Logs", {
    payload: { ...target, query: LogQuery },
    success: LogBatch,
    error: Schema.Union(NotFound, StoreError, InvalidArgument, LogUnavailable),
    stream: true
  })
) {}
