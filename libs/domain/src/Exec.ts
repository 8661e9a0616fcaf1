/**
 * A command that is run in an instance beside its primary one.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { InstanceId } from "./Ids.ts"
import { Command, Environment, GuestPath } from "./Program.ts"
import { Exited, Signaled } from "./EndReason.ts"
import { Output } from "./Output.ts"

/** An exec's id: `exec-` and 16 hexadecimal digits, at random. Given by the daemon, never parsed. */
export const ExecId = Schema.String.pipe(
  Schema.pattern(/^exec-[0-9a-f]{16}$/, { message: () => "an exec's id is exec- and 16 hexadecimal digits" }),
  Schema.brand("@aegis/ExecId")
)
export type ExecId = typeof ExecId.Type

const side = Schema.Int.pipe(Schema.between(1, 65_535))

/** A terminal's size in characters. */
export const TerminalSize = Schema.Struct({ rows: side, cols: side })
export type TerminalSize = typeof TerminalSize.Type

const id = Schema.Int.pipe(Schema.between(0, 4_294_967_294))

/** Who runs it in the guest, by numbers. */
export const GuestUser = Schema.Struct({ uid: id, gid: id })
export type GuestUser = typeof GuestUser.Type

/** Everything that is needed to run it. */
export class ExecSpec extends Schema.Class<ExecSpec>("ExecSpec")({
  command: Command,
  /** Added to the primary's environment. */
  env: Schema.optionalWith(Environment, { default: () => ({}) }),
  /** Absent: the primary's. */
  workdir: Schema.optional(GuestPath),
  user: Schema.optionalWith(GuestUser, { default: () => ({ uid: 0, gid: 0 }) }),
  /** A terminal of its own in the place of pipes. */
  tty: Schema.optional(TerminalSize),
  /** Whether its standard input is fed or is empty. */
  interactive: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Goes on without a reader, until it ends by itself; any other ends with its reader. */
  detached: Schema.optionalWith(Schema.Boolean, { default: () => false })
}) {}

/** It runs; or, for one that is joined, it has begun before. */
export class ExecStarted extends Schema.TaggedClass<ExecStarted>()("ExecStarted", {
  instanceId: InstanceId,
  execId: ExecId,
  tty: Schema.Boolean,
  interactive: Schema.Boolean
}) {}
/** It has ended, and all it said has come. */
export class ExecEnded extends Schema.TaggedClass<ExecEnded>()("ExecEnded", {
  reason: Schema.Union(Exited, Signaled),
  /** How long it took in its guest, from its fork to its end, in microseconds. */
  ranMicros: Schema.optional(Schema.NonNegativeInt)
}) {}

/** What a reader is told, in this order: ExecStarted, Output*, ExecEnded. One that is started detached: ExecStarted alone. */
export const ExecEvent = Schema.Union(ExecStarted, Output, ExecEnded)
export type ExecEvent = typeof ExecEvent.Type

/** There is no such exec: it never was, its end has been read, or its instance has ended. */
export class ExecNotFound extends Schema.TaggedError<ExecNotFound>()(
  "ExecNotFound",
  { execId: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `exec "${this.execId}" not found`
  }
  get remedy() {
    return `it has ended, or its instance has: aegis logs HANDLE_OR_ID --exec ${this.execId} shows what it said`
  }
}

/** Somebody reads it already. */
export class ExecTaken extends Schema.TaggedError<ExecTaken>()(
  "ExecTaken",
  { execId: Schema.String },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `exec "${this.execId}" is being read already`
  }
  get remedy() {
    return "end the other aegis exec first"
  }
}

/** As many commands run in the guest as can. */
export class ExecLimit extends Schema.TaggedError<ExecLimit>()(
  "ExecLimit",
  { target: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 429 })
) {
  override get message() {
    return `instance "${this.target}": ${this.reason}`
  }
  get remedy() {
    return "wait until one of them has ended"
  }
}

/** The guest ended under the command, or did not answer. */
export class ExecLost extends Schema.TaggedError<ExecLost>()(
  "ExecLost",
  { target: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 502 })
) {
  override get message() {
    return `instance "${this.target}": ${this.reason}`
  }
  get remedy() {
    return `aegis why ${this.target} says what became of it`
  }
}

/** The guest was asked to run the command and has not answered (T-239). */
export class ExecUnanswered extends Schema.TaggedError<ExecUnanswered>()(
  "ExecUnanswered",
  { target: Schema.String, waited: Schema.String },
  HttpApiSchema.annotations({ status: 504 })
) {
  override get message() {
    return `instance "${this.target}": the guest did not answer within ${this.waited}; whether the command began is not known`
  }
  get remedy() {
    return `it is ended as soon as the guest answers: try again, or see aegis logs ${this.target}`
  }
}
