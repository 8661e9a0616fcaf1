/**
 * The daemon's calls for instances, what reaches them and what they reach.
 */
import {
  AlreadyExposed,
  Exposure,
  Handle,
  Instance,
  InstanceChanged,
  InstanceId,
  InstanceSpec,
  InstanceState,
  InstanceTarget,
  InvalidArgument,
  KeepaliveRequest,
  NetworkAnswer,
  NetworkPolicy,
  NetworkReplay,
  NetworkTarget,
  NotExposed,
  NotFound,
  PortNumber,
  PortTaken,
  StartError,
  StartOutcome,
  StateConflict,
  StoreError
} from "@aegis/domain"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

const target = { target: InstanceTarget }
const ofOne = Schema.Union(NotFound, StoreError)
const inAState = Schema.Union(NotFound, StateConflict, StoreError)

export class InstanceRpcs extends RpcGroup.make(
  /** Creates an instance and begins its start; one that has the handle and is stopped is started from its own configuration (S-082). */
  Rpc.make("InstanceStart", { payload: InstanceSpec, success: StartOutcome, error: StartError }),
  /** Starts a stopped instance from its own configuration (S-080). */
  Rpc.make("InstanceRestart", {
    payload: { handle: Handle },
    success: StartOutcome,
    error: Schema.Union(NotFound, StartError)
  }),
  /** Oldest first; all of them where no states are named. */
  Rpc.make("InstanceList", {
    payload: { states: Schema.optional(Schema.Array(InstanceState)) },
    success: Schema.Array(Instance),
    error: StoreError
  }),
  Rpc.make("InstanceGet", { payload: target, success: Instance, error: ofOne }),
  /**
   * Ends the command (SIGTERM, the grace, SIGKILL) and the VM, and keeps the record. Without `graceSeconds` it is 5 s. One that
   * is stopped already stays so (D-03).
   */
  Rpc.make("InstanceStop", {
    payload: { ...target, graceSeconds: Schema.optional(Schema.Number.pipe(Schema.between(0, 3600))) },
    success: Instance,
    error: ofOne
  }),
  Rpc.make("InstancePause", { payload: target, success: Instance, error: inAState }),
  Rpc.make("InstanceResume", { payload: target, success: Instance, error: inAState }),
  /** Ends the VM if there is one and removes every trace. */
  Rpc.make("InstanceDelete", { payload: target, error: ofOne }),
  /** Removes what has been stopped for longer than that (S-138); says which. */
  Rpc.make("InstancePrune", {
    payload: { stoppedForSeconds: Schema.Number.pipe(Schema.nonNegative()) },
    success: Schema.Array(InstanceId),
    error: StoreError
  }),
  /** Keeps it from being paused and stopped for idling for so long; 0 s ends that. */
  Rpc.make("InstanceKeepAlive", {
    payload: { ...target, request: KeepaliveRequest },
    success: Instance,
    error: inAState
  }),
  /** Lets a port of this machine lead to one of its guest's; kept over restarts. One that does so already is no failure. */
  Rpc.make("InstanceExpose", {
    payload: { ...target, exposure: Exposure },
    success: Instance,
    error: Schema.Union(NotFound, AlreadyExposed, PortTaken, InvalidArgument, StoreError)
  }),
  /** The opposite; connections to the port are reset. */
  Rpc.make("InstanceUnexpose", {
    payload: { ...target, port: PortNumber },
    success: Instance,
    error: Schema.Union(NotFound, NotExposed, StoreError)
  }),
  /** What its network lets through from now on; kept over restarts. */
  Rpc.make("NetworkSet", { payload: { ...target, policy: NetworkPolicy }, success: Instance, error: inAState }),
  /** What its policy, or `candidate` in its place, says of a flow. */
  Rpc.make("NetworkCheck", {
    payload: { ...target, to: NetworkTarget, candidate: Schema.optional(NetworkPolicy) },
    success: NetworkAnswer,
    error: ofOne
  }),
  /** What a policy, or its own, would have made of the flows that its network has told of; also of an instance that is no more. */
  Rpc.make("NetworkReplay", {
    payload: { ...target, candidate: Schema.optional(NetworkPolicy) },
    success: NetworkReplay,
    error: ofOne
  }),
  /** Waits until it is stopped, and gives it as it is then. */
  Rpc.make("InstanceWait", { payload: target, success: Instance, error: ofOne }),
  /** Every instance as it is now, then every change, without end. */
  Rpc.make("InstanceWatch", { success: InstanceChanged, error: StoreError, stream: true })
) {}
