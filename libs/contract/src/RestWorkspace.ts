/**
 * Named workspaces as REST shows them. None is made here: the first start that names one makes it.
 */
import { Handle, InstanceId, InstanceState, type WorkspaceInfo, WorkspaceName } from "@aegis/domain"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { StoreFailure, WorkspaceNameFailure, WorkspaceRemoveFailure } from "./RestFailures.ts"

export class RestWorkspace extends Schema.Class<RestWorkspace>("RestWorkspace")({
  name: WorkspaceName,
  /** On the host. */
  path: Schema.String,
  /** What it takes of the disk. */
  bytes: Schema.NonNegativeInt,
  /** How many files, directories and links there are in it. */
  entries: Schema.NonNegativeInt,
  /** False where counting ended early, or something could not be read. */
  complete: Schema.Boolean,
  /** Instances that have it, or a directory in it. */
  used_by: Schema.Array(Schema.Struct({ id: InstanceId, handle: Schema.NullOr(Handle), state: InstanceState }))
}) {}

export const restWorkspace = ({ usedBy, ...info }: WorkspaceInfo): RestWorkspace =>
  new RestWorkspace({
    ...info,
    used_by: usedBy.map(({ handle, id, state }) => ({ id, handle: handle ?? null, state }))
  })

const name = HttpApiSchema.param("name", Schema.String)

export const workspacesGroup = HttpApiGroup.make("workspaces")
  .add(HttpApiEndpoint.get("list", "/v1/workspaces").addSuccess(Schema.Array(RestWorkspace)).addError(StoreFailure))
  .add(HttpApiEndpoint.get("inspect")`/v1/workspaces/${name}`.addSuccess(RestWorkspace).addError(WorkspaceNameFailure))
  // Its files are gone for good: refused while an instance has it, in whatever state.
  .add(HttpApiEndpoint.del("delete")`/v1/workspaces/${name}`.addSuccess(RestWorkspace).addError(WorkspaceRemoveFailure))
