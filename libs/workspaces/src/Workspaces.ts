/**
 * The directories that guests see at /workspace.
 */
import { type InstanceId, WorkspaceRefused, type WorkspaceRequest } from "@aegis/domain"
import { AegisPaths, Directories } from "@aegis/host"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import { checkHostPath, temporaryPrefix } from "./HostPath.ts"

/** A directory that may be shared. `path` is real: no component of it is a symlink. */
export interface Workspace {
  readonly path: string
  readonly readOnly: boolean
}

export class Workspaces extends Context.Tag("@aegis/workspaces/Workspaces")<
  Workspaces,
  {
    /** Finds or makes the directory; a temporary one is removed with the scope, no other ever is (S-062, S-063). */
    readonly acquire: (
      id: InstanceId,
      request: WorkspaceRequest
    ) => Effect.Effect<Workspace, WorkspaceRefused, Scope.Scope>
    /** Removes what temporary workspaces a daemon that died has left; says how many. */
    readonly sweep: Effect.Effect<number>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const paths = yield* AegisPaths
      const holders = new Map<string, number>()

      /** Two guests may work in one directory, and that is said (T-140). */
      const hold = (id: InstanceId, workspace: Workspace) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            const others = holders.get(workspace.path) ?? 0
            holders.set(workspace.path, others + 1)
            return others === 0
              ? Effect.void
              : Effect.logInfo(`${id} shares the workspace ${workspace.path} with ${others} other running instances`)
          }),
          () =>
            Effect.sync(() => {
              const left = (holders.get(workspace.path) ?? 1) - 1
              if (left > 0) holders.set(workspace.path, left)
              else holders.delete(workspace.path)
            })
        ).pipe(Effect.as(workspace))

      return Workspaces.of({
        acquire: Effect.fn("Workspaces.acquire")(function* (id, request) {
          switch (request._tag) {
            case "Temporary": {
              const path = `${paths.workspaces}/run-${id}`
              yield* Effect.acquireRelease(make(path), () => Effect.ignoreLogged(Directories.removeTree(path)))
              return { path: yield* realPath(path), readOnly: false }
            }
            case "Named": {
              const path = `${paths.workspaces}/${request.name}`
              yield* make(path)
              return yield* hold(id, { path: yield* realPath(path), readOnly: request.readOnly })
            }
            case "HostPath":
              return yield* hold(id, { path: yield* checkHostPath(request, paths), readOnly: request.readOnly })
          }
        }),
        sweep: Effect.gen(function* () {
          const names = yield* Effect.promise(() => fs.readdir(paths.workspaces).catch(() => []))
          const left = names.filter((name) => name.startsWith(temporaryPrefix))
          yield* Effect.forEach(left, (name) =>
            Effect.ignoreLogged(Directories.removeTree(`${paths.workspaces}/${name}`))
          )
          return left.length
        })
      })
    })
  )
}

const make = (path: string) =>
  Effect.mapError(
    Directories.ensurePrivate(path),
    ({ message, remedy }) => new WorkspaceRefused({ workspace: path, reason: message, remedy })
  )

const realPath = (path: string) =>
  Effect.tryPromise({
    try: () => fs.realpath(path),
    catch: (cause) =>
      new WorkspaceRefused({
        workspace: path,
        reason: String(cause),
        remedy: "check that it is a directory you can enter"
      })
  })
