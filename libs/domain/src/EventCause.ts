/**
 * Who or what made something happen.
 */
import * as Schema from "effect/Schema"

/** A person at a terminal; `command` is the subcommand, never its arguments. */
export class ByCli extends Schema.TaggedClass<ByCli>()("Cli", { command: Schema.String }) {}
/** An agent, by a tool of `aegis-mcp`. */
export class ByMcp extends Schema.TaggedClass<ByMcp>()("Mcp", { tool: Schema.String }) {}
/** Some other program, by a client library or with the runtime inside; `name` is what it calls itself. */
export class ByProgram extends Schema.TaggedClass<ByProgram>()("Program", { name: Schema.optional(Schema.String) }) {}
/** A program that speaks REST. */
export class ByRest extends Schema.TaggedClass<ByRest>()("Rest", { route: Schema.String }) {}
/** A connection that came through the router (S-128). */
export class ByRouter extends Schema.TaggedClass<ByRouter>()("Router", { port: Schema.Int }) {}
/** Nothing had happened for so long (D-08). */
export class ByIdleTimer extends Schema.TaggedClass<ByIdleTimer>()("IdleTimer", {
  idleSeconds: Schema.Number,
  /** What was seen of it in that time. */
  evidence: Schema.optional(Schema.String)
}) {}
/** The guest itself: its command ended, or it asked for something. */
export class ByGuest extends Schema.TaggedClass<ByGuest>()("Guest", {}) {}
/** The daemon as it found things when it started; `found` says what, such as `the machine has booted since`. */
export class ByRecovery extends Schema.TaggedClass<ByRecovery>()("Recovery", { found: Schema.String }) {}
/** The daemon of its own accord; `because` completes "the daemon, because …". */
export class ByDaemon extends Schema.TaggedClass<ByDaemon>()("Daemon", { because: Schema.String }) {}
/** A cause that this version cannot read. */
export class ByUnknown extends Schema.TaggedClass<ByUnknown>()("Unknown", { text: Schema.String }) {}

/** Who asked for it. */
export const EventCause = Schema.Union(
  ByCli,
  ByMcp,
  ByProgram,
  ByRest,
  ByRouter,
  ByIdleTimer,
  ByGuest,
  ByRecovery,
  ByDaemon,
  ByUnknown
)
export type EventCause = typeof EventCause.Type
