/**
 * Named workspaces as clients see them: the directories of one service, with the instances of another that use them.
 */
import {
  type EventCause,
  type Instance,
  type StoreError,
  WorkspaceInfo,
  WorkspaceInUse,
  type WorkspaceName,
  type WorkspaceRefused,
  WorkspaceRemoved,
  WorkspaceUnknown,
  WorkspaceUser
} from "@aegis/domain"
import { Instances } from "@aegis/instances"
import { Journal } from "@aegis/journal"
import { Workspaces } from "@aegis/workspaces"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class NamedWorkspaces extends Context.Tag("@aegis/runtime/NamedWorkspaces")<
  NamedWorkspaces,
  {
    readonly list: Effect.Effect<ReadonlyArray<WorkspaceInfo>, StoreError>
    readonly inspect: (name: WorkspaceName) => Effect.Effect<WorkspaceInfo, WorkspaceUnknown | StoreError>
    /** Removes it for good, unless an instance uses it, in whatever state; gives it as it was. */
    readonly remove: (
      name: WorkspaceName,
      cause: EventCause
    ) => Effect.Effect<WorkspaceInfo, WorkspaceUnknown | WorkspaceInUse | WorkspaceRefused | StoreError>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const instances = yield* Instances
      const workspaces = yield* Workspaces
      const journal = yield* Journal

      const info = (
        { name, path }: { readonly name: WorkspaceName; readonly path: string },
        all: ReadonlyArray<Instance>
      ) =>
        Effect.map(
          workspaces.measure(path),
          (measured) => new WorkspaceInfo({ name, path, ...measured, usedBy: all.flatMap(userOf(path)) })
        )

      const inspect = (name: WorkspaceName) =>
        Effect.gen(function* () {
          const found = (yield* workspaces.named).find((one) => one.name === name)
          if (found === undefined) return yield* new WorkspaceUnknown({ name })
          return yield* info(found, yield* instances.list)
        })

      return NamedWorkspaces.of({
        list: Effect.gen(function* () {
          const all = yield* instances.list
          return yield* Effect.forEach(yield* workspaces.named, (one) => info(one, all))
        }),
        inspect,
        remove: (name, cause) =>
          Effect.gen(function* () {
            const found = yield* inspect(name)
            if (found.usedBy.length > 0) {
              return yield* new WorkspaceInUse({ name, users: found.usedBy.map(({ handle, id }) => handle ?? id) })
            }
            yield* workspaces.remove(name)
            // It is done: a journal that cannot be written changes nothing of that.
            const data = new WorkspaceRemoved({ name, bytes: found.bytes })
            yield* Effect.ignoreLogged(journal.append([{ cause, data }]))
            return found
          })
      })
    })
  )
}

/** Those that have it as a name or as a path, or a directory in it. */
const userOf =
  (path: string) =>
  ({ handle, id, state, workspace }: Instance) =>
    workspace === path || workspace?.startsWith(`${path}/`) === true
      ? [new WorkspaceUser({ id, state, ...(handle === undefined ? {} : { handle }) })]
      : []
