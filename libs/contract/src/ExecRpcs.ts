/**
 * The daemon's calls for commands beside an instance's primary one.
 */
import {
  AttachError,
  ExecError,
  ExecEvent,
  ExecId,
  ExecInputError,
  ExecSpec,
  InstanceTarget,
  TerminalSize
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const target = { target: InstanceTarget }

export class ExecRpcs extends RpcGroup.make(
  /**
   * Runs a command in an instance beside its primary one (S-147). Whoever stops reading ends it, unless it is detached: then the stream
   * ends as soon as it runs. One chunk at a time is under way: what a reader has not taken stays in the guest.
   */
  Rpc.make("Exec", { payload: { ...target, spec: ExecSpec }, success: ExecEvent, error: ExecError, stream: true }),
  /** Reads a detached one, from the first byte that no reader has taken. */
  Rpc.make("ExecAttach", { payload: { id: ExecId }, success: ExecEvent, error: AttachError, stream: true }),
  /** As `WriteStdin`. */
  Rpc.make("ExecWriteStdin", {
    payload: { id: ExecId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: ExecInputError
  }),
  Rpc.make("ExecResize", { payload: { id: ExecId, size: TerminalSize }, error: ExecInputError }),
  Rpc.make("ExecSignal", {
    payload: { id: ExecId, signal: Schema.Int.pipe(Schema.between(1, 64)) },
    error: ExecInputError
  })
) {}
