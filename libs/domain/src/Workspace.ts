/**
 * What a guest sees at /workspace, and how people say which directory that is.
 */
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { WorkspaceName } from "./Ids.ts"

const HostPathText = Schema.String.pipe(
  Schema.startsWith("/", { message: () => "it is an absolute path of the host" }),
  Schema.maxLength(4096, { message: () => "a path has at most 4096 characters" }),
  Schema.filter((text) => (text.includes("\0") ? "no path holds a NUL byte" : undefined))
)

/** Removed with the instance (S-062). */
export class TemporaryWorkspace extends Schema.TaggedClass<TemporaryWorkspace>("TemporaryWorkspace")("Temporary", {}) {}
/** `<home>/data/workspaces/<name>`, made on demand, never removed by us (S-074). */
export class NamedWorkspace extends Schema.TaggedClass<NamedWorkspace>("NamedWorkspace")("Named", {
  name: WorkspaceName,
  readOnly: Schema.Boolean
}) {}
/** An absolute path on the host: the CLI resolves what its user typed (S-075), the daemon checks it (T-134). */
export class HostWorkspace extends Schema.TaggedClass<HostWorkspace>("HostWorkspace")("HostPath", {
  path: HostPathText,
  readOnly: Schema.Boolean
}) {}

export const WorkspaceRequest = Schema.Union(TemporaryWorkspace, NamedWorkspace, HostWorkspace)
export type WorkspaceRequest = typeof WorkspaceRequest.Type

/** Whether the guest may not write there. */
export const isReadOnly = (workspace: WorkspaceRequest): boolean => workspace._tag !== "Temporary" && workspace.readOnly

/** What somebody has named: any workspace but a temporary one. */
export const ChosenWorkspace = Schema.Union(NamedWorkspace, HostWorkspace)
export type ChosenWorkspace = typeof ChosenWorkspace.Type

const readOnlyMark = ":ro"

/**
 * As `--workspace` takes it: a word without `/` and without a leading `.` is a name, anything else a path (S-074). A `:ro` at the
 * end forbids the guest to write. A directory whose own name ends so is meant by `/srv/x:ro/`.
 *
 * @param directory where relative paths begin (S-075); undefined where there is no such place, and only absolute ones are taken.
 */
export const workspaceTextIn = (directory: string | undefined) =>
  Schema.transformOrFail(Schema.String, Schema.typeSchema(ChosenWorkspace), {
    strict: true,
    decode: (text, _, ast) => {
      const readOnly = text.endsWith(readOnlyMark)
      const target = readOnly ? text.slice(0, -readOnlyMark.length) : text
      if (!target.includes("/") && !target.startsWith(".")) {
        return ParseResult.decodeUnknown(NamedWorkspace)({ _tag: "Named", name: target, readOnly })
      }
      if (directory === undefined && !path.isAbsolute(target)) {
        const reason =
          "it is neither a workspace's name nor an absolute path, and there is no directory that it begins at"
        return ParseResult.fail(new ParseResult.Type(ast, text, reason))
      }
      const absolute = path.resolve(directory ?? "/", target)
      return ParseResult.decodeUnknown(HostWorkspace)({ _tag: "HostPath", path: absolute, readOnly })
    },
    encode: (workspace) => ParseResult.succeed(workspaceText(workspace))
  })

/** As REST and agents say it: `name` or `/path`, either with `:ro`. */
export const WorkspaceText = workspaceTextIn(undefined)

/** The inverse of reading it. */
export const workspaceText = (workspace: ChosenWorkspace): string => {
  const target = workspace._tag === "Named" ? workspace.name : workspace.path
  if (workspace.readOnly) return `${target}${readOnlyMark}`
  return target.endsWith(readOnlyMark) ? `${target}/` : target
}
