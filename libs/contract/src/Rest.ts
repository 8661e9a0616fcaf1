/**
 * The REST face: the same services on the same socket, `curl --unix-socket ~/.aegis/aegisd.sock http://aegis/v1/status`.
 * Field names and status codes are the original's (contract D-23); what is added is only added.
 */
import {
  BackendUnavailable,
  BootFailed,
  BootTimeout,
  Command,
  CommandNotStarted,
  defaultMemoryMib,
  defaultVcpus,
  DiskFull,
  EndReason,
  Environment,
  Handle,
  HandleTaken,
  Instance,
  InstanceId,
  InstanceState,
  InvalidArgument,
  MemoryMib,
  NotFound,
  ResourcesRefused,
  RootfsUnavailable,
  VcpuCount,
  WorkspaceRefused
} from "@aegis/domain"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { asRest } from "./RestError.ts"

export class RestStatus extends Schema.Class<RestStatus>("RestStatus")({
  status: Schema.Literal("running"),
  backend: Schema.String,
  version: Schema.String,
  pid: Schema.Int,
  capabilities: Schema.Struct({ pause_resume: Schema.Boolean, boot_from_disk_layers: Schema.Boolean })
}) {}

export class RestInstance extends Schema.Class<RestInstance>("RestInstance")({
  id: InstanceId,
  handle: Schema.optional(Handle),
  state: InstanceState,
  command: Command,
  created_at: Schema.String,
  stopped_at: Schema.optional(Schema.String),
  memory_mb: MemoryMib,
  vcpus: VcpuCount,
  workspace: Schema.optional(Schema.String),
  ended: Schema.optional(EndReason)
}) {}

export class RestCreate extends Schema.Class<RestCreate>("RestCreate")({
  command: Command,
  handle: Schema.optional(Handle),
  env: Schema.optionalWith(Environment, { default: () => ({}) }),
  memory_mb: Schema.optionalWith(MemoryMib, { default: () => defaultMemoryMib }),
  vcpus: Schema.optionalWith(VcpuCount, { default: () => defaultVcpus }),
  /** A workspace's name, or the absolute path of a directory; absent: a temporary one. */
  workspace: Schema.optional(Schema.String)
}) {}

const target = HttpApiSchema.param("id", Schema.String)

const instances = HttpApiGroup.make("instances")
  .add(
    HttpApiEndpoint.post("create", "/v1/instances")
      .setPayload(RestCreate)
      .addSuccess(RestInstance, { status: 201 })
      .addError(asRest(InvalidArgument, 400))
      .addError(asRest(HandleTaken, 409))
      .addError(asRest(WorkspaceRefused, 400))
      .addError(asRest(RootfsUnavailable, 503))
      .addError(asRest(BackendUnavailable, 503))
      .addError(asRest(BootFailed, 502))
      .addError(asRest(BootTimeout, 504))
      .addError(asRest(CommandNotStarted, 422))
      .addError(asRest(DiskFull, 507))
      .addError(asRest(ResourcesRefused, 400))
  )
  .add(
    HttpApiEndpoint.get("list", "/v1/instances")
      .setUrlParams(Schema.Struct({ state: Schema.optional(InstanceState) }))
      .addSuccess(Schema.Array(RestInstance))
  )
  .add(HttpApiEndpoint.get("get")`/v1/instances/${target}`.addSuccess(RestInstance).addError(asRest(NotFound, 404)))
  .add(
    HttpApiEndpoint.del("delete")`/v1/instances/${target}`
      .addSuccess(Schema.Struct({ status: Schema.Literal("deleted") }))
      .addError(asRest(NotFound, 404))
  )

export class RestApi extends HttpApi.make("aegis")
  .add(HttpApiGroup.make("daemon").add(HttpApiEndpoint.get("status", "/v1/status").addSuccess(RestStatus)))
  .add(instances) {}

/** An instance as REST shows it. */
export const restInstance = (instance: Instance): RestInstance =>
  new RestInstance({
    id: instance.id,
    handle: instance.handle,
    state: instance.state,
    command: instance.command,
    created_at: secondsOf(instance.createdAt),
    stopped_at: instance.stoppedAt === undefined ? undefined : secondsOf(instance.stoppedAt),
    memory_mb: instance.memoryMib,
    vcpus: instance.vcpus,
    workspace: instance.workspace,
    ended: instance.ended
  })

/** RFC 3339 in UTC with whole seconds (contract S-017). */
const secondsOf = (time: Instance["createdAt"]) => new Date(time.epochMillis).toISOString().replace(/\.\d+Z$/, "Z")
