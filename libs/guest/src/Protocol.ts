/**
 * The harness protocol's messages, version 1: `docs/HARNESS_PROTOCOL.md`. What comes from a guest is hostile, so every
 * message that does is decoded here before anything looks at it.
 */
import { Command, Environment, TerminalSize } from "@aegis/domain"
import * as Schema from "effect/Schema"

export const protocolVersion = 1

/** The largest JSON body of either side, in bytes. */
export const maxJsonBytes = 1024 * 1024

/** `GET /health`. */
export class Health extends Schema.Class<Health>("Health")({
  protocol: Schema.Int,
  harness: Schema.String.pipe(Schema.maxLength(64)),
  kernel: Schema.String.pipe(Schema.maxLength(128)),
  state: Schema.Literal("waiting", "running", "exited"),
  uptimeMs: Schema.Finite.pipe(Schema.nonNegative())
}) {}

/** `GET /activity`. */
export const Activity = Schema.Struct({
  /** The processor time that the machine has spent on work since it started. */
  cpuMs: Schema.NonNegativeInt,
  /** What has passed through its network devices since it started, both ways; its loopback is none of them. */
  networkBytes: Schema.NonNegativeInt,
  tunnels: Schema.NonNegativeInt
})
export type Activity = typeof Activity.Type

/** `POST /boot`: everything the guest must know, sent once. Secrets travel here and nowhere else. */
export class BootMessage extends Schema.Class<BootMessage>("BootMessage")({
  protocol: Schema.Literal(protocolVersion),
  argv: Command,
  env: Schema.Redacted(Environment),
  cwd: Schema.String,
  hostname: Schema.String.pipe(Schema.maxLength(64)),
  clockMs: Schema.Int,
  /** 32 to 256 random bytes for the guest's pool. */
  seed: Schema.Uint8ArrayFromBase64,
  rootDevice: Schema.String,
  workspace: Schema.optional(Schema.Struct({ tag: Schema.String, readOnly: Schema.Boolean })),
  network: Schema.optional(
    Schema.Struct({
      mtu: Schema.Int,
      addresses: Schema.Array(Schema.String),
      gateways: Schema.Array(Schema.String),
      nameservers: Schema.Array(Schema.String)
    })
  ),
  stdin: Schema.Literal("null", "pipe")
}) {}

/** The answer to `POST /boot`. */
export const Booted = Schema.Struct({ pid: Schema.Int.pipe(Schema.positive()) })

/** `POST /execs/ID`. `env` is added to the primary's in the guest; without `cwd` it is the primary's. */
export class ExecMessage extends Schema.Class<ExecMessage>("ExecMessage")({
  argv: Command,
  env: Environment,
  cwd: Schema.optional(Schema.String),
  uid: Schema.Int,
  gid: Schema.Int,
  tty: Schema.optional(TerminalSize),
  stdin: Schema.Literal("null", "pipe"),
  detached: Schema.Boolean
}) {}

/** One exec as the guest tells of it. */
export const ExecState = Schema.Struct({
  id: Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9._-]{1,128}$/)),
  pid: Schema.Int,
  ended: Schema.Boolean,
  tty: Schema.Boolean,
  stdin: Schema.Boolean,
  detached: Schema.Boolean,
  acked: Schema.NonNegativeInt,
  noted: Schema.NonNegativeInt
})
export type ExecState = typeof ExecState.Type

/** The answer to `GET /execs`. */
export const Execs = Schema.Struct({ execs: Schema.Array(ExecState).pipe(Schema.maxItems(64)) })

/** What one message may carry of a file, in bytes. */
export const maxPieceBytes = 512 * 1024

/** The answer to `POST /files/read`: the file's size, and the bytes that were asked for, as far as there are any. */
export const FilePieceAnswer = Schema.Struct({
  size: Schema.NonNegativeInt,
  bytes: Schema.Uint8ArrayFromBase64
})

/** The answer to `PUT /files`. */
export const Extracted = Schema.Struct({ files: Schema.NonNegativeInt, bytes: Schema.NonNegativeInt })
export type Extracted = typeof Extracted.Type

/** The body of every error answer of the harness. */
export const HarnessError = Schema.Struct({
  code: Schema.Literal(
    "bad-request",
    "not-found",
    "state",
    "mount",
    "spawn-not-found",
    "spawn-denied",
    "spawn-failed",
    "file",
    "limit",
    "connect-refused",
    "connect-timeout",
    "connect-failed",
    "too-many-tunnels",
    "internal"
  ),
  message: Schema.String.pipe(Schema.maxLength(65_536))
})
export type HarnessError = typeof HarnessError.Type

/** A command's end; always the last event. Exactly one of `code` and `signal` is there. */
export const ExitEvent = Schema.Struct({
  type: Schema.Literal("exit"),
  code: Schema.optional(Schema.Int.pipe(Schema.between(0, 255))),
  signal: Schema.optional(Schema.Int.pipe(Schema.between(1, 64))),
  oom: Schema.optional(Schema.Boolean),
  /** Microseconds from before its fork to the harness's having waited for it. */
  ranUs: Schema.optional(Schema.NonNegativeInt)
}).pipe(
  Schema.filter((event) =>
    (event.code === undefined) === (event.signal === undefined) ? "exactly one of code and signal" : undefined
  )
)
export type ExitEvent = typeof ExitEvent.Type
