/**
 * The daemon's calls for a command in an instance of its own.
 */
import { InstanceId, InstanceSpec, NotFound, RunEvent, StartError, StateConflict, StoreError } from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const inAState = Schema.Union(NotFound, StateConflict, StoreError)

export class RunRpcs extends RpcGroup.make(
  /** Creates an instance, follows it, and deletes it when the stream ends or its reader goes (S-057, T-18). */
  Rpc.make("Run", { payload: InstanceSpec, success: RunEvent, error: StartError, stream: true }),
  /**
   * Feeds the standard input of an instance started with `interactive`. Calls are made one after the other: RPC has no upload
   * streams. `end` closes it.
   */
  Rpc.make("WriteStdin", {
    payload: { id: InstanceId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: inAState
  })
) {}
