/**
 * The REST routes on a Unix socket, answered by the real runtime on the simulated backend.
 */
import { Router } from "@aegis/router"
import { History, NamedWorkspaces, Secrets } from "@aegis/runtime"
import { BackendChoice, VerdictCache } from "@aegis/vm"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Server } from "node:http"
import { runtime } from "../../../libs/instances/test/runtime.ts"
import { rest } from "../src/Rest.ts"

export const servedOn = (http: Server, socket: string) =>
  HttpLayerRouter.serve(
    Layer.merge(rest, Layer.scopedDiscard(Effect.addFinalizer(() => Effect.sync(() => http.closeAllConnections())))),
    { disableLogger: true, disableListenLog: true }
  ).pipe(
    Layer.provide(NodeHttpServer.layer(() => http, { path: socket })),
    Layer.provide(
      Layer.succeed(Router, {
        state: { _tag: "RouterServing", address: "http://127.0.0.1:8099" }
      })
    ),
    Layer.provide(Layer.provide(BackendChoice.layer([]), VerdictCache.layerNone)),
    Layer.provide(Layer.provideMerge(Layer.mergeAll(History.layer, NamedWorkspaces.layer, Secrets.layer), runtime())),
    Layer.provide(Logger.minimumLogLevel(LogLevel.Warning))
  )
