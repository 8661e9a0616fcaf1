/**
 * Named workspaces as REST shows them.
 */
import { Handle, InstanceId, InstanceState, type WorkspaceInfo, WorkspaceName } from "@aegis/domain"
import * as Schema from "effect/Schema"

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
