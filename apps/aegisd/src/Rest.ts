/**
 * The REST routes, each answered by the same services as the RPCs.
 */
import {
  RestApi,
  type RestCreate,
  RestErrorBody,
  RestEvent,
  restEvent,
  RestInstance,
  restInstance,
  restSecret,
  RestStatus
} from "@aegis/contract"
import {
  ByRest,
  Exposures,
  Handle,
  HostWorkspace,
  InstanceId,
  InstanceSpec,
  InvalidArgument,
  type JournalEvent,
  NamedWorkspace,
  NewSecret,
  NotFound,
  parseImageSource,
  SecretName,
  type StartOutcome,
  TemporaryWorkspace,
  version,
  WorkspaceName
} from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { Router } from "@aegis/router"
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
import { History } from "./History.ts"
import { errorLine, line } from "./Ndjson.ts"
import { execs } from "./RestExec.ts"
import { Secrets } from "./Secrets.ts"

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

/** As the RPC's: time for a command to end by itself before it is killed. */
const defaultGrace = Duration.seconds(5)

const by = (route: string) => new ByRest({ route })

const instances = HttpApiBuilder.group(RestApi, "instances", (handlers) =>
  Effect.gen(function* () {
    const service = yield* Instances
    const router = Option.getOrUndefined((yield* Router).address)
    return handlers
      .handle("create", ({ payload }) =>
        Effect.gen(function* () {
          const { command, env, handle, image_ref, memory_mb, secrets, vcpus } = payload
          const cause = by("POST /v1/instances")
          if (command !== undefined) {
            const workspace = yield* workspaceOf(payload.workspace)
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
              workspace,
              image: image_ref,
              exposes
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

const exposesOf = (wanted: typeof RestCreate.Type.exposes) =>
  Schema.decode(Exposures)(
    wanted.map(({ host_port, port, protocol }) => ({
      port,
      protocol,
      ...(host_port === undefined ? {} : { hostPort: host_port })
    }))
  ).pipe(
    Effect.mapError(
      ({ message }) => new InvalidArgument({ argument: "exposes", reason: message, remedy: "name each port once" })
    )
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
  Layer.provide([daemon, instances, execs, events, secrets]),
  Layer.provide(decodeErrors.layer)
)
