/**
 * The directories that guests see at /workspace.
 */
import {
  type HostWorkspace,
  type InstanceId,
  WorkspaceGone,
  WorkspaceInUse,
  WorkspaceName,
  WorkspaceRefused,
  type WorkspaceRequest,
  WorkspaceUnknown
} from "@aegis/domain"
import { AegisPaths, Directories } from "@aegis/host"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { lstatSync, renameSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { checkHostPath, temporaryPrefix } from "./HostPath.ts"
import { type Measure, measure } from "./Measure.ts"

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
    /**
     * Whether what an instance was made with can be had again: a directory of the user's that is gone, or has been replaced by a link to
     * another, is never made anew or exchanged silently (T-137).
     */
    readonly check: (request: WorkspaceRequest) => Effect.Effect<void, WorkspaceGone | WorkspaceRefused>
    /** Finds or makes the directory, which is in use until the scope closes. None is removed then. */
    readonly acquire: (
      id: InstanceId,
      request: WorkspaceRequest
    ) => Effect.Effect<Workspace, WorkspaceGone | WorkspaceRefused, Scope.Scope>
    /** Removes the temporary workspace of an instance, if it has one; no other ever is removed (S-062, S-063). */
    readonly forget: (id: InstanceId) => Effect.Effect<void>
    /** Removes the temporary workspaces of all other instances; says how many there were. */
    readonly sweep: (kept: ReadonlySet<string>) => Effect.Effect<number>
    /** The named ones that there are, in the order of their names. */
    readonly named: Effect.Effect<ReadonlyArray<{ readonly name: WorkspaceName; readonly path: string }>>
    /** What it takes. */
    readonly measure: (path: string) => Effect.Effect<Measure>
    /**
     * Removes a named one and all that is in it, unless a guest has it at this moment. A start that names it meanwhile makes a new, empty
     * one. What cannot be removed, such as a mount, stays where it is.
     */
    readonly remove: (name: WorkspaceName) => Effect.Effect<void, WorkspaceUnknown | WorkspaceInUse | WorkspaceRefused>
  }
>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const paths = yield* AegisPaths
      const holders = new Map<string, number>()
      /** As instances' records have it: real, so that one directory has one name. */
      const namedPath = (name: string) => Effect.map(realOf(paths.workspaces), (parent) => `${parent}/${name}`)
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

      /** The same directory as when the instance was made: its record has the real path. */
      const asBefore = (request: HostWorkspace) =>
        Effect.gen(function* () {
          const { path: workspace } = request
          const there = yield* Effect.promise(() => fs.stat(workspace).catch(() => undefined))
          if (there === undefined) return yield* new WorkspaceGone({ workspace, reason: "there is no such directory" })
          const real = yield* checkHostPath(request, paths)
          if (real === workspace) return real
          return yield* new WorkspaceGone({ workspace, reason: `a symlink in its place leads to ${real}` })
        })

      return Workspaces.of({
        check: (request) => (request._tag === "HostPath" ? Effect.asVoid(asBefore(request)) : Effect.void),
        locate: (id, request) => {
          switch (request._tag) {
            case "Temporary":
              return Effect.succeed(temporary(id))
            case "Named":
              return namedPath(request.name)
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
              const named = yield* namedPath(request.name)
              // Held before it is there: from then on nobody removes it.
              const held = yield* hold(id, { path: named, readOnly: request.readOnly })
              yield* make(named)
              return held
            }
            case "HostPath":
              return yield* hold(id, { path: yield* asBefore(request), readOnly: request.readOnly })
          }
        }),
        named: Effect.gen(function* () {
          const parent = yield* realOf(paths.workspaces)
          const entries = yield* Effect.promise(() => fs.readdir(parent, { withFileTypes: true }).catch(() => []))
          return entries
            .filter((entry) => entry.isDirectory())
            .flatMap((entry) => Option.toArray(Schema.decodeOption(WorkspaceName)(entry.name)))
            .sort((a, b) => (a < b ? -1 : 1))
            .map((name) => ({ name, path: `${parent}/${name}` }))
        }),
        measure: (path) => measure(path),
        remove: Effect.fn("Workspaces.remove")(function* (name) {
          const directory = yield* namedPath(name)
          // The check and the new name are one step for this daemon: no start comes between.
          const doomed = `${directory}${removedMark}${randomUUID()}`
          yield* Effect.suspend((): Effect.Effect<void, WorkspaceUnknown | WorkspaceInUse | WorkspaceRefused> =>
            holders.has(directory)
              ? Effect.fail(new WorkspaceInUse({ name, users: ["an instance that starts or runs"] }))
              : moveAway(name, directory, doomed)
          )
          yield* Effect.mapError(
            Directories.removeTree(doomed),
            ({ message, remedy }) => new WorkspaceRefused({ workspace: name, reason: message, remedy })
          ).pipe(Effect.tapError(() => Effect.promise(() => fs.rename(doomed, directory).catch(() => undefined))))
        }, Effect.uninterruptible),
        forget: (id) => Effect.ignoreLogged(Directories.removeTree(temporary(id))),
        sweep: (kept) =>
          Effect.gen(function* () {
            const keep = new Set([...kept].map((id) => path.basename(temporary(id))))
            const names = yield* Effect.promise(() => fs.readdir(paths.workspaces).catch(() => []))
            const left = names.filter(
              (name) => (name.startsWith(temporaryPrefix) && !keep.has(name)) || name.includes(removedMark)
            )
            yield* Effect.forEach(left, (name) =>
              Effect.ignoreLogged(Directories.removeTree(`${paths.workspaces}/${name}`))
            )
            return left.length
          })
      })
    })
  )
}

/** Between a workspace's name and the rest of the name that it has while it is being removed: no workspace's name has it. */
const removedMark = "~removed-"

const moveAway = (name: string, directory: string, doomed: string) =>
  Effect.try({
    try: () => {
      if (!lstatSync(directory).isDirectory()) throw new Error("it is not a directory")
      renameSync(directory, doomed)
    },
    catch: (cause) =>
      String(cause).includes("ENOENT")
        ? new WorkspaceUnknown({ name })
        : new WorkspaceRefused({ workspace: name, reason: String(cause), remedy: "look at what is in its place" })
  })

/** The same where it is not there yet. */
const realOf = (path: string) => Effect.promise(() => fs.realpath(path).catch(() => path))

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
