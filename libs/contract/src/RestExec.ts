/**
 * `POST /v1/instances/{id}/exec`: a command in an instance, as NDJSON (contract D-23, U-009).
 */
import { Command, Environment, ExecId, GuestPath, GuestUser } from "@aegis/domain"
import * as Schema from "effect/Schema"

export class RestExec extends Schema.Class<RestExec>("RestExec")({
  command: Command,
  env: Schema.optionalWith(Environment, { default: () => ({}) }),
  workdir: Schema.optional(GuestPath),
  user: Schema.optionalWith(GuestUser, { default: () => ({ uid: 0, gid: 0 }) })
}) {}

/** The first line. */
export const RestExecStarted = Schema.Struct({ exec_id: ExecId, started_at: Schema.DateTimeUtc })

/** The last line; between the two are `RestLogEntry`s, whose `seq` counts from 1. Death by signal N is code 128 + N. */
export const RestExecEnded = Schema.Struct({ exec_id: ExecId, exit_code: Schema.Int, done: Schema.Literal(true) })
