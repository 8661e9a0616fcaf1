/**
 * Named workspaces as they are shown: where they are, what they take, who uses them.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { Handle, InstanceId, WorkspaceName } from "./Ids.ts"
import { InstanceState } from "./Instance.ts"

/** An instance whose guest sees the workspace, or will when it is started again. */
export class WorkspaceUser extends Schema.Class<WorkspaceUser>("WorkspaceUser")({
  id: InstanceId,
  handle: Schema.optional(Handle),
  state: InstanceState
}) {}

export class WorkspaceInfo extends Schema.Class<WorkspaceInfo>("WorkspaceInfo")({
  name: WorkspaceName,
  /** On the host. */
  path: Schema.String,
  /** What it takes of the disk; a file with several names counts once. */
  bytes: Schema.NonNegativeInt,
  /** How many files, directories and links there are in it. */
  entries: Schema.NonNegativeInt,
  /** Whether that is all: counting ends at some number, and what cannot be read is not counted. */
  complete: Schema.Boolean,
  usedBy: Schema.Array(WorkspaceUser)
}) {}

/** There is no workspace of that name. */
export class WorkspaceUnknown extends Schema.TaggedError<WorkspaceUnknown>()(
  "WorkspaceUnknown",
  { name: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `workspace "${this.name}" not found`
  }
  get remedy() {
    return "aegis workspace list shows what there is; --workspace makes one at the first start that names it"
  }
}

/** Instances use it, or would when they are started again; nothing is removed under them. */
export class WorkspaceInUse extends Schema.TaggedError<WorkspaceInUse>()(
  "WorkspaceInUse",
  { name: Schema.String, users: Schema.Array(Schema.String) },
  HttpApiSchema.annotations({ status: 409 })
) {
  override get message() {
    return `workspace "${this.name}" is used by ${this.users.join(", ")}`
  }
  get remedy() {
    return `delete what uses it first: ${this.users.map((user) => `aegis instance delete ${user}`).join("; ")}`
  }
}
