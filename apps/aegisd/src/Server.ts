/**
 * The daemon's one HTTP server on its Unix socket: `/rpc` is the typed face (MessagePack over a WebSocket).
 */
import { AegisRpcs } from "@aegis/contract"
import { AegisPaths, UnixSocket } from "@aegis/host"
import type { BaseRootfs, ImageStore } from "@aegis/images"
import type { Instances } from "@aegis/instances"
import type { Journal } from "@aegis/journal"
import type { Router } from "@aegis/router"
import type { BackendChoice } from "@aegis/vm"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import type { History } from "./History.ts"
import { handlers } from "./Handlers.ts"
import { LogDefects } from "./LogDefects.ts"
import { rest } from "./Rest.ts"
import type { Secrets } from "./Secrets.ts"

/** A request's headers must come within this time, so that a client that dawdles holds nothing (T-43). */
const headersTimeout = 10_000

// The type is written out: a wrapping middleware makes the inferred requirements `any`.
const rpc: Layer.Layer<
  never,
  never,
  | HttpLayerRouter.HttpRouter
  | Instances
  | BackendChoice
  | Journal
  | History
  | BaseRootfs
  | ImageStore
  | Router
  | Secrets
> = RpcServer.layerHttpRouter({
  group: AegisRpcs.middleware(LogDefects),
  path: "/rpc",
  protocol: "websocket",
  disableFatalDefects: true
}).pipe(Layer.provide([handlers, LogDefects.layer, RpcSerialization.layerMsgPack]))

/** Listens on the socket: a stale one of a daemon that died is removed first; the file is its user's alone from its first moment. */
export const server = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { socket } = yield* AegisPaths
    yield* UnixSocket.removeStale(socket)
    const http = createServer({ headersTimeout, requestTimeout: 0, keepAliveTimeout: 5_000 })
    // A connection that stays open would hold up a stop for ever: they are cut when the server closes.
    const dropConnections = Layer.scopedDiscard(
      Effect.addFinalizer(() => Effect.sync(() => http.closeAllConnections()))
    )
    return HttpLayerRouter.serve(Layer.mergeAll(rpc, rest, dropConnections), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(Layer.provide(NodeHttpServer.layer(() => http, { path: socket })))
  })
)
