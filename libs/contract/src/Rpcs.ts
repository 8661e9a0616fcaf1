/**
 * The typed face of the daemon: what `aegis`, `aegis-mcp` and other Effect programs call. MessagePack over a WebSocket at
 * `/rpc` of the daemon's Unix socket.
 */
import {
  BackendVerdict,
  DaemonStatus,
  Instance,
  InstanceId,
  InstanceSpec,
  InstanceTarget,
  NotFound,
  RunEvent,
  StartError,
  StateConflict
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

export class AegisRpcs extends RpcGroup.make(
  Rpc.make("Status", { success: DaemonStatus }),
  /** Chooses the backend if it has not been chosen yet (this boots a probe guest), and says why. */
  Rpc.make("Backend", { success: BackendVerdict }),
  /** Creates an instance, follows it, and deletes it when the stream ends or its reader goes (S-057, T-18). */
  Rpc.make("Run", { payload: InstanceSpec, success: RunEvent, error: StartError, stream: true }),
  /**
   * Feeds the standard input of an instance started with `interactive`. Calls are made one after the other: RPC has no upload
   * streams. `end` closes it.
   */
  Rpc.make("WriteStdin", {
    payload: { id: InstanceId, bytes: Schema.Uint8ArrayFromSelf, end: Schema.Boolean },
    error: Schema.Union(NotFound, StateConflict)
  }),
  Rpc.make("InstanceList", { success: Schema.Array(Instance) }),
  Rpc.make("InstanceGet", { payload: { target: InstanceTarget }, success: Instance, error: NotFound }),
  /** Ends the VM if there is one (SIGTERM, 5 s of grace, SIGKILL) and removes every trace. */
  Rpc.make("InstanceDelete", { payload: { target: InstanceTarget }, error: NotFound })
) {}
