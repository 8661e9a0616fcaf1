/**
 * The REST face: the same services on the same socket, `curl --unix-socket ~/.aegis/aegisd.sock http://aegis/v1/status`.
 * Field names and status codes are the original's (contract D-23); what is added is only added.
 */
import {
  Command,
  defaultMemoryMib,
  defaultVcpus,
  Environment,
  Exposure,
  Handle,
  InstanceId,
  InstanceState,
  InstanceTarget,
  KeepaliveRequest,
  MemoryMib,
  SecretRequestText,
  VcpuCount,
  version,
  WorkspaceText
} from "@aegis/domain"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { asAnswered } from "./RestDescription.ts"
import { RestExec } from "./RestExec.ts"
import {
  ExecFailure,
  ExposeFailure,
  SecretFailure,
  SecretNameFailure,
  StartFailure,
  StateFailure,
  StoreFailure,
  TargetFailure,
  UnexposeFailure,
  VaultFailure
} from "./RestFailures.ts"
import { RestInstance } from "./RestInstance.ts"
import { RestNetwork } from "./RestNetwork.ts"
import { RestSecret } from "./RestSecret.ts"
import { workspacesGroup } from "./RestWorkspaces.ts"
import { SpokenPort } from "./SpokenExposure.ts"
import { defaultPruneAge, SpokenDuration, SpokenGrace, SpokenSince } from "./SpokenTime.ts"

export class RestStatus extends Schema.Class<RestStatus>("RestStatus")({
  status: Schema.Literal("running"),
  backend: Schema.String,
  version: Schema.String,
  pid: Schema.Int,
  capabilities: Schema.Struct({ pause_resume: Schema.Boolean, boot_from_disk_layers: Schema.Boolean })
}) {}

export const RestExposure = Schema.Struct({
  port: Exposure.fields.port,
  protocol: Exposure.fields.protocol,
  /** The host's port that is wanted for it. */
  host_port: Exposure.fields.hostPort
})

export class RestCreate extends Schema.Class<RestCreate>("RestCreate")({
  /** Absent with a `handle`: that stopped instance is started from its own configuration (S-080). */
  command: Schema.optional(Command),
  handle: Schema.optional(Handle),
  /** An image's name, or `oci:`, `oci-archive:`, `docker-archive:` or `rootfs:` and an absolute path; absent: the base root file system. */
  image_ref: Schema.optional(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200))),
  env: Schema.optionalWith(Environment, { default: () => ({}) }),
  /** By name: `KEY`, `KEY=VARIABLE`, or `*` for all. None where none is named. */
  secrets: Schema.optionalWith(Schema.Array(SecretRequestText), { default: () => [] }),
  memory_mb: Schema.optionalWith(MemoryMib, { default: () => defaultMemoryMib }),
  vcpus: Schema.optionalWith(VcpuCount, { default: () => defaultVcpus }),
  exposes: Schema.optionalWith(Schema.Array(RestExposure), { default: () => [] }),
  /** What its network lets through; absent: the profile `public`. */
  network: Schema.optional(RestNetwork),
  /** A workspace's name, or the absolute path of a directory, with `:ro` at its end for a guest that may not write; absent: a temporary one. */
  workspace: Schema.optional(WorkspaceText)
}) {}

const target = HttpApiSchema.param("id", Schema.String)

const guestPort = HttpApiSchema.param("port", SpokenPort)

const done = <const State extends string>(status: State) => Schema.Struct({ status: Schema.Literal(status) })

/** A field that nobody knows is a mistake, not something to pass over (T-24). */
const strict = <A, I, R>(schema: Schema.Schema<A, I, R>): Schema.Schema<A, I, R> =>
  schema.annotations({ parseOptions: { onExcessProperty: "error" } })

const Flag = Schema.transform(Schema.Literal("1", "true", "0", "false"), Schema.Boolean, {
  strict: true,
  decode: (text) => text === "1" || text === "true",
  encode: (flag) => (flag ? "1" : "0")
})

const instances = HttpApiGroup.make("instances")
  .add(
    /** 201: it is new; 200: the stopped one that has the handle is started again. Either way it is `starting` (S-087, S-088). */
    HttpApiEndpoint.post("create", "/v1/instances")
      .setPayload(strict(RestCreate))
      .addSuccess(RestInstance, { status: 201 })
      .addSuccess(RestInstance, { status: 200 })
      .addError(StartFailure)
  )
  .add(
    HttpApiEndpoint.get("list", "/v1/instances")
      .setUrlParams(Schema.Struct({ state: Schema.optional(InstanceState) }))
      .addSuccess(Schema.Array(RestInstance))
      .addError(StoreFailure)
  )
  .add(
    HttpApiEndpoint.post("prune", "/v1/instances/prune")
      .setUrlParams(
        Schema.Struct({ older_than: Schema.optionalWith(SpokenDuration, { default: () => defaultPruneAge }) })
      )
      .addSuccess(Schema.Struct({ pruned: Schema.Int, ids: Schema.Array(InstanceId) }))
      .addError(StoreFailure)
  )
  .add(HttpApiEndpoint.get("get")`/v1/instances/${target}`.addSuccess(RestInstance).addError(TargetFailure))
  .add(HttpApiEndpoint.del("delete")`/v1/instances/${target}`.addSuccess(done("deleted")).addError(TargetFailure))
  .add(HttpApiEndpoint.post("start")`/v1/instances/${target}/start`.addSuccess(RestInstance).addError(StartFailure))
  .add(
    HttpApiEndpoint.post("stop")`/v1/instances/${target}/stop`
      .setUrlParams(Schema.Struct({ timeout: Schema.optional(SpokenGrace) }))
      .addSuccess(done("stopped"))
      .addError(TargetFailure)
  )
  .add(HttpApiEndpoint.post("pause")`/v1/instances/${target}/pause`.addSuccess(done("paused")).addError(StateFailure))
  .add(
    HttpApiEndpoint.post("resume")`/v1/instances/${target}/resume`.addSuccess(done("running")).addError(StateFailure)
  )
  .add(
    /** Idling leaves it alone for so many seconds, at most a day, in place of an earlier lease; 0 ends that. */
    HttpApiEndpoint.post("keepalive")`/v1/instances/${target}/keepalive`
      .setPayload(strict(Schema.Struct(KeepaliveRequest.fields)))
      .addSuccess(RestInstance)
      .addError(StateFailure)
  )
  .add(
    /** A port of this machine leads to the guest's, at once and whenever it runs; what is so already stays so. */
    HttpApiEndpoint.post("expose")`/v1/instances/${target}/expose`
      .setPayload(strict(RestExposure))
      .addSuccess(RestInstance)
      .addError(ExposeFailure)
  )
  .add(
    /** By the guest's port. Connections to it are reset. */
    HttpApiEndpoint.del("unexpose")`/v1/instances/${target}/expose/${guestPort}`
      .addSuccess(RestInstance)
      .addError(UnexposeFailure)
  )
  .add(
    /** Answers when it is stopped. */
    HttpApiEndpoint.get("wait")`/v1/instances/${target}/wait`.addSuccess(RestInstance).addError(TargetFailure)
  )

/** NDJSON: `RestExecStarted`, a `RestLogEntry` for each line of output, `RestExecEnded`. Whoever stops reading ends the command. */
const execs = HttpApiGroup.make("execs").add(
  HttpApiEndpoint.post("exec")`/v1/instances/${target}/exec`
    .setPayload(strict(RestExec))
    .addSuccess(HttpApiSchema.Text({ contentType: "application/x-ndjson" }))
    .addError(ExecFailure)
)

/** NDJSON: a `RestEvent` a line; an error that comes in the middle is the last line, in the form of every error. */
const events = HttpApiGroup.make("events").add(
  HttpApiEndpoint.get("events", "/v1/events")
    .setUrlParams(
      Schema.Struct({
        /** A handle or an id, also of an instance that is no more. */
        target: Schema.optional(InstanceTarget),
        since: Schema.optional(SpokenSince),
        /** Only events with a greater number. */
        after: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())),
        follow: Schema.optionalWith(Flag, { default: () => false })
      })
    )
    .addSuccess(HttpApiSchema.Text({ contentType: "application/x-ndjson" }))
    .addError(TargetFailure)
)

/** What is not a value's form is refused without a word of it: it may be a value all the same (P4). */
const unspoken = { message: () => ({ message: 'the body is {"value": "…"}', override: true }) }

export const RestSecretValue = Schema.Struct({ value: Schema.String.annotations(unspoken) }).annotations(unspoken)

const key = HttpApiSchema.param("key", Schema.String)

/** No route gives a value. */
const secrets = HttpApiGroup.make("secrets")
  .add(
    HttpApiEndpoint.put("set")`/v1/secrets/${key}`
      .setPayload(strict(RestSecretValue))
      .addSuccess(RestSecret)
      .addError(SecretFailure)
  )
  .add(HttpApiEndpoint.get("list", "/v1/secrets").addSuccess(Schema.Array(RestSecret)).addError(VaultFailure))
  .add(HttpApiEndpoint.del("delete")`/v1/secrets/${key}`.addSuccess(done("deleted")).addError(SecretNameFailure))

export class RestApi extends HttpApi.make("aegis")
  .add(
    HttpApiGroup.make("daemon")
      .add(HttpApiEndpoint.get("status", "/v1/status").addSuccess(RestStatus))
      .add(
        /** All that the daemon counts, in the text format of Prometheus. */
        HttpApiEndpoint.get("metrics", "/v1/metrics").addSuccess(
          HttpApiSchema.Text({ contentType: "text/plain; version=0.0.4; charset=utf-8" })
        )
      )
  )
  .add(instances)
  .add(execs)
  .add(events)
  .add(secrets)
  .add(workspacesGroup)
  .annotate(OpenApi.Title, "AegisVM")
  .annotate(OpenApi.Version, version)
  .annotate(OpenApi.Transform, asAnswered) {}
