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
import * as path from "node:path"
import { checkHostPath, temporaryPrefix } from "./HostPath.ts"

/** A directory that may be shared. `path` is real: no component of it is a symlink. */
export interface Workspace {
  readonly path: string
  readonly readOnly: boolean
}

export class Workspaces extends Context.Tag("@aegis/workspaces/Workspaces")<
  Workspaces,
  {
    /** Where the directory is, or will be when it is acquired. Refuses what may not be shared, before anything is made (T-134). */
    readonly locate: (id: InstanceId, request: WorkspaceRequest) => Effect.Effect<string, WorkspaceRefused>
    /** Finds or makes the directory, which is in use until the scope closes. None is removed then. */
    readonly acquire: (
      id: InstanceId,
      request: WorkspaceRequest
    ) => Effect.Effect<Workspace, WorkspaceRefused, Scope.Scope>
    /** Removes the temporary workspace of an instance, if it has one; no other ever is removed (S-062, S-063). */
    readonly forget: (id: InstanceId) => Effect.Effect<void>
    /** Removes the temporary workspaces of all other instances; says how many there were. */
    readonly sweep: (kept: ReadonlySet<string>) => Effect.Effect<number>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const paths = yield* AegisPaths
      const holders = new Map<string, number>()
      const temporary = (id: string) => `${paths.workspaces}/run-${id}`

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
        locate: (id, request) => {
          switch (request._tag) {
            case "Temporary":
              return Effect.succeed(temporary(id))
            case "Named":
              return Effect.succeed(`${paths.workspaces}/${request.name}`)
            case "HostPath":
              return checkHostPath(request, paths)
          }
        },
        acquire: Effect.fn("Workspaces.acquire")(function* (id, request) {
          switch (request._tag) {
            case "Temporary": {
              yield* make(temporary(id))
              return { path: yield* realPath(temporary(id)), readOnly: false }
            }
            case "Named": {
              const named = `${paths.workspaces}/${request.name}`
              yield* make(named)
              return yield* hold(id, { path: yield* realPath(named), readOnly: request.readOnly })
            }
            case "HostPath":
              return yield* hold(id, { path: yield* checkHostPath(request, paths), readOnly: request.readOnly })
          }
        }),
        forget: (id) => Effect.ignoreLogged(Directories.removeTree(temporary(id))),
        sweep: (kept) =>
          Effect.gen(function* () {
            const keep = new Set([...kept].map((id) => path.basename(temporary(id))))
            const names = yield* Effect.promise(() => fs.readdir(paths.workspaces).catch(() => []))
            const left = names.filter((name) => name.startsWith(temporaryPrefix) && !keep.has(name))
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
