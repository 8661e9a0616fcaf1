/**
 * The daemon's calls without a daemon: the same handlers behind the same `Aegis` service, in one process and with nothing encoded.
 */
import { Aegis, aegisOver, ownName } from "@aegis/client"
import { AegisRpcs, programHeaders } from "@aegis/contract"
import type { BaseRootfs, ImageStore } from "@aegis/images"
import type { Instances } from "@aegis/instances"
import type { Journal } from "@aegis/journal"
import type { Router } from "@aegis/router"
import type { BackendChoice } from "@aegis/vm"
import * as Headers from "@effect/platform/Headers"
import * as RpcClient from "@effect/rpc/RpcClient"
import type { FromServer } from "@effect/rpc/RpcMessage"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { handlers } from "./Handlers.ts"
import type { History } from "./History.ts"
import type { NamedWorkspaces } from "./NamedWorkspaces.ts"
import type { Secrets } from "./Secrets.ts"

type Services =
  Instances | BackendChoice | Journal | History | BaseRootfs | ImageStore | Router | Secrets | NamedWorkspaces

/** `Aegis` over the services. A call's defect ends that call alone; the layer's scope ends all of them. */
export const inProcess: Layer.Layer<Aegis, never, Services> = Layer.scoped(
  Aegis,
  Effect.gen(function* () {
    let answer: (response: FromServer<RpcGroup.Rpcs<typeof AegisRpcs>>) => Effect.Effect<void> = () => Effect.void
    const server = yield* RpcServer.makeNoSerialization(AegisRpcs, {
      onFromServer: (response) => answer(response),
      disableFatalDefects: true
    })
    const usual = Option.match(ownName(), { onNone: () => Headers.empty, onSome: programHeaders })
    const { client, write } = yield* RpcClient.makeNoSerialization(AegisRpcs, {
      supportsAck: true,
      onFromClient: ({ message }) =>
        server.write(
          0,
          message._tag === "Request" ? { ...message, headers: Headers.merge(usual, message.headers) } : message
        )
    })
    answer = write
    const all = Effect.succeed(client)
    return aegisOver({ daemon: all, run: all, exec: all, file: all, instance: all, history: all, home: all })
  })
).pipe(
  // Leaving ends the calls of a daemon; here the program that embeds us decides when it ends.
  Layer.provide(handlers(Effect.void))
)
