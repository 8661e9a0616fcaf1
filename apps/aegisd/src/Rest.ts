/**
 * The REST routes, each answered by the same services as the RPCs.
 */
import { RestApi, RestErrorBody, restInstance, RestStatus } from "@aegis/contract"
import {
  HostWorkspace,
  InstanceSpec,
  InvalidArgument,
  NamedWorkspace,
  TemporaryWorkspace,
  version,
  WorkspaceName
} from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { BackendChoice } from "@aegis/vm"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const daemon = HttpApiBuilder.group(RestApi, "daemon", (handlers) =>
  handlers.handle("status", () =>
    Effect.gen(function* () {
      const { chosen } = yield* Effect.flatMap(BackendChoice, (choice) => choice.verdict)
      return new RestStatus({
        status: "running",
        backend: chosen?.backend ?? "none",
        version,
        pid: process.pid,
        capabilities: { pause_resume: true, boot_from_disk_layers: true }
      })
    })
  )
)

const instances = HttpApiBuilder.group(RestApi, "instances", (handlers) =>
  Effect.gen(function* () {
    const service = yield* Instances
    return handlers
      .handle("create", ({ payload }) =>
        Effect.gen(function* () {
          const { command, env, handle, memory_mb, vcpus } = payload
          const workspace = yield* workspaceOf(payload.workspace)
          const spec = new InstanceSpec({ command, handle, env, memoryMib: memory_mb, vcpus, workspace })
          return restInstance(yield* service.create(spec))
        })
      )
      .handle("list", ({ urlParams: { state } }) =>
        Effect.map(service.list, (all) =>
          all.filter((one) => state === undefined || one.state === state).map(restInstance)
        )
      )
      .handle("get", ({ path: { id } }) => Effect.map(service.get(id), restInstance))
      .handle("delete", ({ path: { id } }) => Effect.as(service.remove(id), { status: "deleted" as const }))
  })
)

const workspaceOf = (text: string | undefined) => {
  if (text === undefined) return Effect.succeed(new TemporaryWorkspace())
  if (text.startsWith("/")) return Effect.succeed(new HostWorkspace({ path: text, readOnly: false }))
  return Schema.decode(WorkspaceName)(text).pipe(
    Effect.map((name) => new NamedWorkspace({ name, readOnly: false })),
    Effect.mapError(
      () =>
        new InvalidArgument({
          argument: "workspace",
          reason: `"${text}" is neither a workspace's name nor an absolute path`,
          remedy: "use a name such as claw, or the absolute path of a directory"
        })
    )
  )
}

const DecodeErrorBody = Schema.parseJson(
  Schema.Struct({ _tag: Schema.Literal("HttpApiDecodeError"), message: Schema.String })
)

/** What a schema refused gets the body every other error has (contract D-15). The HTTP API has encoded it before we see it. */
const decodeErrors = HttpLayerRouter.middleware((handler) =>
  Effect.flatMap(handler, (response) => {
    if (response.status !== 400 || response.body._tag !== "Uint8Array") return Effect.succeed(response)
    return Schema.decode(DecodeErrorBody)(Buffer.from(response.body.body).toString("utf8")).pipe(
      Effect.flatMap(({ message }) =>
        HttpServerResponse.schemaJson(RestErrorBody)(
          {
            error: message,
            code: "InvalidArgument",
            remedy: "the message names the field; GET /v1/openapi.json describes all"
          },
          { status: 400 }
        )
      ),
      Effect.orElseSucceed(() => response)
    )
  })
)

export const rest = HttpLayerRouter.addHttpApi(RestApi, { openapiPath: "/v1/openapi.json" }).pipe(
  Layer.provide([daemon, instances]),
  Layer.provide(decodeErrors.layer)
)
