/** Named workspaces of the scripted daemon: `claw`, which an instance uses, and `old`, until it is removed. */
import {
  Handle,
  InstanceId,
  WorkspaceInfo,
  WorkspaceInUse,
  WorkspaceName,
  WorkspaceUnknown,
  WorkspaceUser
} from "@aegis/domain"
import * as Effect from "effect/Effect"

const user = new WorkspaceUser({ id: InstanceId.make("inst-1"), handle: Handle.make("web"), state: "stopped" })
const kept = new Map(
  [
    { name: "claw", bytes: 8192, entries: 2, complete: true, usedBy: [user] },
    { name: "old", bytes: 1_500_000, entries: 200_000, complete: false, usedBy: [] }
  ].map(({ name, ...rest }) => [
    name,
    new WorkspaceInfo({ name: WorkspaceName.make(name), path: `/home/me/.aegis/data/workspaces/${name}`, ...rest })
  ])
)

export const listWorkspaces = Effect.sync(() => [...kept.values()])

export const inspectWorkspace = (name: string) =>
  Effect.suspend(() => {
    const found = kept.get(name)
    return found === undefined ? Effect.fail(new WorkspaceUnknown({ name })) : Effect.succeed(found)
  })

export const removeWorkspace = (name: string) =>
  Effect.gen(function* () {
    const found = yield* inspectWorkspace(name)
    if (found.usedBy.length > 0) return yield* new WorkspaceInUse({ name, users: ["web"] })
    kept.delete(name)
    return found
  })
