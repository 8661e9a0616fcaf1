/**
 * The daemon's calls of the daemon itself.
 */
import { BackendVerdict, DaemonStatus } from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"

export class DaemonRpcs extends RpcGroup.make(
  Rpc.make("Status", { success: DaemonStatus }),
  /** Chooses the backend if it has not been chosen yet (this boots a probe guest), and says why. */
  Rpc.make("Backend", { success: BackendVerdict }),
  /** The daemon ends and leaves its VMs running, for the next daemon to go on with (`aegis down --keep`). */
  Rpc.make("Leave")
) {}
