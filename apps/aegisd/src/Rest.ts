/**
 * The REST routes, each answered by the same services as the RPCs.
 */
import {
  RestApi,
  type RestCreate,
  RestErrorBody,
  type RestExposure,
  RestStatus,
  networkPolicyOf,
  RestEvent,
  restEvent,
  RestInstance,
  restInstance,
  restSecret
} from "@aegis/contract/rest"
import {
  ByRest,
  Exposure,
  Exposures,
  Handle,
  InstanceId,
  InstanceSpec,
  InvalidArgument,
  type JournalEvent,
  KeepaliveRequest,
  NewSecret,
  NotFound,
  parseImageSource,
  routerAddress,
  SecretName,
  type StartOutcome,
  version
} from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { Router } from "@aegis/router"
import { History, Secrets } from "@aegis/runtime"
import { BackendChoice } from "@aegis/vm"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { withJsonBody } from "./JsonBody.ts"
import { errorLine, line } from "./Ndjson.ts"
import { metrics } from "./Prometheus.ts"
import { execs } from "./RestExec.ts"
import { workspaces } from "./RestWorkspaces.ts"
import { unknownRoutes } from "./UnknownRoutes.ts"

const daemon = HttpApiBuilder.group(RestApi, "daemon", (handlers) =>
  handlers
    .handle("status", () =>
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
    .handle("metrics", () => Effect.sync(metrics))
)

/** As the RPC's: time for a command to end by itself before it is killed. */
const defaultGrace = Duration.seconds(5)

const by = (route: string) => new ByRest({ route })

const instances = HttpApiBuilder.group(RestApi, "instances", (handlers) =>
  Effect.gen(function* () {
    const service = yield* Instances
    const router = routerAddress((yield* Router).state)
    return handlers
      .handle("create", ({ payload }) =>
        Effect.gen(function* () {
          const { command, env, handle, image_ref, memory_mb, secrets, vcpus, workspace } = payload
          const cause = by("POST /v1/instances")
          if (command !== undefined) {
            const exposes = yield* exposesOf(payload.exposes)
            // Refused before anything is made; the start itself goes on when this has been answered.
            if (image_ref !== undefined) yield* parseImageSource(image_ref)
            const spec = {
              command,
              handle,
              env,
              secrets,
              memoryMib: memory_mb,
              vcpus,
              image: image_ref,
              exposes,
              ...(workspace === undefined ? {} : { workspace }),
              ...(payload.network === undefined ? {} : { network: networkPolicyOf(payload.network) })
            }
            return yield* answer(yield* service.start(new InstanceSpec(spec), cause), router)
          }
          if (handle === undefined) return yield* commandRequired("nothing names a stopped instance")
          return yield* service.restart(handle, cause).pipe(
            Effect.catchTag("NotFound", () => commandRequired(`there is no instance "${handle}"`)),
            Effect.flatMap((outcome) => answer(outcome, router))
          )
        })
      )
      .handle("list", ({ urlParams: { state } }) =>
        Effect.map(state === undefined ? service.list : service.listIn([state]), (found) =>
          found.map((one) => restInstance(one))
        )
      )
      .handle("prune", ({ urlParams }) =>
        Effect.map(service.prune(urlParams.older_than, by("POST /v1/instances/prune")), (ids) => ({
          pruned: ids.length,
          ids
        }))
      )
      .handle("get", ({ path: { id } }) => Effect.map(service.get(id), (one) => restInstance(one)))
      .handle("delete", ({ path: { id } }) =>
        Effect.as(service.remove(id, by("DELETE /v1/instances/{id}")), { status: "deleted" as const })
      )
      .handle("start", ({ path: { id } }) =>
        Schema.decode(Schema.Union(InstanceId, Handle))(id).pipe(
          Effect.mapError(() => new NotFound({ target: id })),
          Effect.flatMap((target) => service.restart(target, by("POST /v1/instances/{id}/start"))),
          Effect.map(({ instance }) => restInstance(instance))
        )
      )
      .handle("stop", ({ path: { id }, urlParams: { timeout = defaultGrace } }) =>
        Effect.as(service.stop(id, timeout, by("POST /v1/instances/{id}/stop")), { status: "stopped" as const })
      )
      .handle("pause", ({ path: { id } }) =>
        Effect.as(service.pause(id, by("POST /v1/instances/{id}/pause")), { status: "paused" as const })
      )
      .handle("resume", ({ path: { id } }) =>
        Effect.as(service.resume(id, by("POST /v1/instances/{id}/resume")), { status: "running" as const })
      )
      .handle("keepalive", ({ path: { id }, payload }) =>
        service
          .keepAlive(id, new KeepaliveRequest(payload), by("POST /v1/instances/{id}/keepalive"))
          .pipe(Effect.map((one) => restInstance(one)))
      )
      .handle("expose", ({ path: { id }, payload }) =>
        service
          .expose(id, exposureOf(payload), by("POST /v1/instances/{id}/expose"))
          .pipe(Effect.map((one) => restInstance(one)))
      )
      .handle("unexpose", ({ path: { id, port } }) =>
        service
          .unexpose(id, port, by("DELETE /v1/instances/{id}/expose/{port}"))
          .pipe(Effect.map((one) => restInstance(one)))
      )
      .handle("wait", ({ path: { id } }) => Effect.map(service.wait(id), (one) => restInstance(one)))
  })
)

/** 201 for a new one, 200 for one that was there (S-087). */
const answer = ({ instance, restarted }: StartOutcome, router: string | undefined) =>
  Effect.orDie(
    HttpServerResponse.schemaJson(RestInstance)(restInstance(instance, router), { status: restarted ? 200 : 201 })
  )

const commandRequired = (because: string) =>
  new InvalidArgument({
    argument: because,
    reason: "command is required",
    remedy: "give a command to make an instance, or the handle of one that is stopped"
  })

const exposureOf = ({ host_port, port, protocol }: typeof RestExposure.Type) =>
  new Exposure({ port, protocol, ...(host_port === undefined ? {} : { hostPort: host_port }) })

const exposesOf = (wanted: typeof RestCreate.Type.exposes) =>
  Schema.validate(Exposures)(wanted.map(exposureOf)).pipe(
    Effect.mapError(
      ({ message }) => new InvalidArgument({ argument: "exposes", reason: message, remedy: "name each port once" })
    )
  )

const events = HttpApiBuilder.group(RestApi, "events", (handlers) =>
  Effect.gen(function* () {
    const history = yield* History
    /** Whoever has no event was never there. Asked before the answer begins: its status cannot be changed after that. */
    const known = (target: string) =>
      Stream.runHead(history.events({ target, follow: false })).pipe(
        Effect.flatMap(Option.match({ onNone: () => new NotFound({ target }), onSome: () => Effect.void }))
      )
    return handlers.handle("events", ({ urlParams }) =>
      Effect.gen(function* () {
        if (urlParams.target !== undefined) yield* known(urlParams.target)
        const lines = Stream.catchAll(Stream.mapEffect(history.events(urlParams), eventLine), (error) =>
          Stream.make(errorLine(error))
        )
        return HttpServerResponse.stream(Stream.encodeText(lines), { contentType: "application/x-ndjson" })
      })
    )
  })
)

const secrets = HttpApiBuilder.group(RestApi, "secrets", (handlers) =>
  Effect.gen(function* () {
    const service = yield* Secrets
    return handlers
      .handle("set", ({ path: { key }, payload: { value } }) =>
        Effect.gen(function* () {
          const name = yield* Effect.mapError(
            Schema.decode(SecretName)(key),
            ({ message }) =>
              new InvalidArgument({
                argument: `secret ${JSON.stringify(key)}`,
                reason: message,
                remedy: "use a name such as API_KEY"
              })
          )
          const secret = new NewSecret({ name, value: Redacted.make(value) })
          const [info] = yield* service.set([secret], by("PUT /v1/secrets/{key}"))
          return info === undefined ? yield* Effect.dieMessage("the vault forgot a secret") : restSecret(info)
        })
      )
      .handle("list", () => Effect.map(service.list, (found) => found.map(restSecret)))
      .handle("delete", ({ path: { key } }) =>
        Effect.as(service.remove(key, by("DELETE /v1/secrets/{key}")), { status: "deleted" as const })
      )
  })
)

const eventLine = (event: JournalEvent) => Effect.map(Effect.orDie(Schema.encode(RestEvent)(restEvent(event))), line)

const DecodeErrorBody = Schema.parseJson(
  Schema.Struct({ _tag: Schema.Literal("HttpApiDecodeError"), message: Schema.String })
)

/** What a schema refused gets the body every other error has (contract D-15). The HTTP API has encoded it before we see it. */
const decodeErrors = HttpLayerRouter.middleware((handler) =>
  Effect.flatMap(withJsonBody(handler), (response) => {
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
  Layer.provide([daemon, instances, execs, events, secrets, workspaces]),
  Layer.provide(decodeErrors.layer),
  Layer.merge(unknownRoutes)
)
