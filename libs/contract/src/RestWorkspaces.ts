/**
 * The routes of named workspaces. None is made here: the first start that names one makes it.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { StoreFailure, WorkspaceNameFailure, WorkspaceRemoveFailure } from "./RestFailures.ts"
import { RestWorkspace } from "./RestWorkspace.ts"

const name = HttpApiSchema.param("name", Schema.String)

export const workspacesGroup = HttpApiGroup.make("workspaces")
  .add(HttpApiEndpoint.get("list", "/v1/workspaces").addSuccess(Schema.Array(RestWorkspace)).addError(StoreFailure))
  .add(HttpApiEndpoint.get("inspect")`/v1/workspaces/${name}`.addSuccess(RestWorkspace).addError(WorkspaceNameFailure))
  // Its files are gone for good: refused while an instance has it, in whatever state.
  .add(HttpApiEndpoint.del("delete")`/v1/workspaces/${name}`.addSuccess(RestWorkspace).addError(WorkspaceRemoveFailure))
