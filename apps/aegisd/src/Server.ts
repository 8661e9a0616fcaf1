/**
 * The daemon's one HTTP server on its Unix socket: `rpcPath` is the typed face (MessagePack over a WebSocket).
 */
import { AegisRpcs, rpcPath } from "@aegis/contract"
import { AegisPaths, UnixSocket } from "@aegis/host"
import type { BaseRootfs, ImageStore } from "@aegis/images"
import type { Instances } from "@aegis/instances"
import type { Journal } from "@aegis/journal"
import type { Router } from "@aegis/router"
import { handlers, type History, LogDefects, type NamedWorkspaces, type Secrets } from "@aegis/runtime"
import type { BackendChoice } from "@aegis/vm"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import { guardConnections } from "./Connections.ts"
import { rest } from "./Rest.ts"

/** A request's headers must come within this time, so that a client that dawdles holds nothing (T-43). */
const headersTimeout = 10_000

/** The answer goes out first; a stop is the same whoever asks for it. */
const endSoon = Effect.sleep("50 millis").pipe(
  Effect.zipRight(Effect.sync(() => process.kill(process.pid, "SIGTERM"))),
  Effect.forkDaemon
)

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
  | NamedWorkspaces
> = RpcServer.layerHttpRouter({
  group: AegisRpcs.middleware(LogDefects),
  path: rpcPath,
  protocol: "websocket",
  disableFatalDefects: true
}).pipe(Layer.provide([handlers(Effect.asVoid(endSoon)), LogDefects.layer, RpcSerialization.layerMsgPack]))

/** Listens on the socket: a stale one of a daemon that died is removed first; the file is its user's alone from its first moment. */
export const server = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { socket } = yield* AegisPaths
    yield* UnixSocket.removeStale(socket)
    const http = createServer({
      headersTimeout,
      requestTimeout: 0,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 2_000
    })
    yield* guardConnections(http, socket)
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
