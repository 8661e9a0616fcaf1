/**
 * The tool `workspace_tree`: what lies in a workspace, seen from the host.
 */
import { Aegis, AegisHome } from "@aegis/client"
import { InstanceTarget, InvalidArgument, WorkspaceName } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { page } from "../OutputLimit.ts"
import { type Tool, tool } from "../Tool.ts"
import { TreeEntry, workspaceTree } from "../WorkspaceTree.ts"

const mostEntries = 1000

export const workspaceTools: ReadonlyArray<Tool> = [
  tool({
    name: "workspace_tree",
    title: "List a workspace's files",
    description:
      "Lists the files and directories of a workspace with their sizes: that of an instance (`target`), or a named one (`workspace`). Symbolic links are shown and never followed.",
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      target: Schema.optional(InstanceTarget.annotations({ description: "An instance's handle or id." })),
      workspace: Schema.optional(WorkspaceName.annotations({ description: "A named workspace." })),
      after: Schema.optional(
        Schema.String.annotations({ description: "Go on behind this path: `next` of the call before." })
      )
    }),
    output: Schema.Struct({
      entries: Schema.Array(TreeEntry),
      next: Schema.optional(Schema.String)
    }),
    handle: ({ after, target, workspace }) =>
      Effect.gen(function* () {
        const root = yield* rootOf(target, workspace)
        const { items, more } = yield* page(workspaceTree(root, after), mostEntries)
        return { entries: items, next: more ? items.at(-1)?.path : undefined }
      })
  })
]

const rootOf = (target: string | undefined, workspace: string | undefined) =>
  Effect.gen(function* () {
    if (workspace !== undefined && target === undefined) {
      const { path } = yield* AegisHome
      return `${path}/data/workspaces/${workspace}`
    }
    if (target === undefined || workspace !== undefined) {
      return yield* new InvalidArgument({
        argument: "target",
        reason: "one of target and workspace is needed, and not both",
        remedy: "give an instance's handle or id as target, or a named workspace as workspace"
      })
    }
    const aegis = yield* Aegis
    const instance = yield* aegis.get(target)
    if (instance.workspace !== undefined) return instance.workspace
    return yield* new InvalidArgument({
      argument: "target",
      reason: `${target} has no workspace`,
      remedy: "instance_info shows an instance's workspace"
    })
  })
