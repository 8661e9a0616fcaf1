/**
 * The routes of named workspaces.
 */
import { RestApi, restWorkspace } from "@aegis/contract/rest"
import { ByRest, WorkspaceName, WorkspaceUnknown } from "@aegis/domain"
import { NamedWorkspaces } from "@aegis/runtime"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** What cannot be a workspace's name is none that there is. */
const nameOf = (name: string) =>
  Effect.mapError(Schema.decode(WorkspaceName)(name), () => new WorkspaceUnknown({ name }))

export const workspaces = HttpApiBuilder.group(RestApi, "workspaces", (handlers) =>
  Effect.gen(function* () {
    const service = yield* NamedWorkspaces
    return handlers
      .handle("list", () => Effect.map(service.list, (found) => found.map(restWorkspace)))
      .handle("inspect", ({ path: { name } }) =>
        nameOf(name).pipe(Effect.flatMap(service.inspect), Effect.map(restWorkspace))
      )
      .handle("delete", ({ path: { name } }) =>
        nameOf(name).pipe(
          Effect.flatMap((known) => service.remove(known, new ByRest({ route: "DELETE /v1/workspaces/{name}" }))),
          Effect.map(restWorkspace)
        )
      )
  })
)
