/**
 * The service with the runtime in its own process: `npx tsx docs/examples/sandbox-service.main.ts`, then
 * `curl --data-binary 'print(6 * 7)' http://127.0.0.1:8000/python`. The first start makes the guests' root file system.
 */
import { Runtime } from "@aegis/runtime"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import { homedir } from "node:os"
import * as path from "node:path"
import { sandboxService } from "./sandbox-service.ts"

const settings = Config.all({
  home: Config.withDefault(Config.string("SANDBOX_HOME"), path.join(homedir(), ".sandbox-service")),
  port: Config.withDefault(Config.integer("PORT"), 8000)
})

const served = Effect.map(settings, ({ home, port }) =>
  Layer.unwrapEffect(Effect.map(sandboxService, (app) => HttpServer.serve(app))).pipe(
    HttpServer.withLogAddress,
    Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })),
    Layer.provide(Runtime.layer({ home, product: path.resolve(import.meta.dirname, "../../dist") }))
  )
)

NodeRuntime.runMain(Layer.launch(Layer.unwrapEffect(served)))
