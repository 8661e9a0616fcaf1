/**
 * What lies below a directory that a guest writes to while it is read. Each directory is opened once, without following a link, and
 * its entries are looked at through that descriptor: a guest that puts a link in a directory's place leads nowhere.
 */
import { WorkspaceRefused } from "@aegis/domain"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Stats } from "node:fs"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"

export class TreeEntry extends Schema.Class<TreeEntry>("TreeEntry")({
  /** Relative to the workspace. */
  path: Schema.String,
  kind: Schema.Literal("file", "directory", "symlink", "other"),
  /** In bytes, of a file. */
  size: Schema.optional(Schema.Number)
}) {}

const deepest = 40

/** A directory above it, its entries before it, depth first; from behind the path `after` where one is given. */
export const workspaceTree = (root: string, after?: string): Stream.Stream<TreeEntry, WorkspaceRefused> =>
  Stream.fromAsyncIterable(
    walk(root, "", after === undefined ? [] : after.split("/"), 0),
    (cause) =>
      new WorkspaceRefused({
        workspace: root,
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: "instance_info shows an instance's workspace; a named one is made by the first start that names it"
      })
  )

/** `behind`: the components of the path to go on behind, below this directory; none where all of it is wanted. */
async function* walk(
  directory: string,
  prefix: string,
  behind: ReadonlyArray<string>,
  depth: number
): AsyncGenerator<TreeEntry> {
  const handle = await fs.open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const opened = process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : directory
    const [first, ...rest] = behind
    for (const name of (await fs.readdir(opened)).sort()) {
      if (first !== undefined && name < first) continue
      const stats = await lstat(`${opened}/${name}`)
      if (stats === undefined) continue
      const path = `${prefix}${name}`
      if (name !== first) yield entry(path, stats)
      if (!stats.isDirectory() || depth === deepest) continue
      yield* below(walk(`${opened}/${name}`, `${path}/`, name === first ? rest : [], depth + 1))
    }
  } finally {
    await handle.close()
  }
}

/** A directory that may not be read, or is none any more, has nothing below it. */
async function* below(entries: AsyncGenerator<TreeEntry>): AsyncGenerator<TreeEntry> {
  try {
    yield* entries
  } catch {
    return
  }
}

/** None where the guest has removed it in the meantime. */
const lstat = (path: string): Promise<Stats | undefined> => fs.lstat(path).catch(() => undefined)

const entry = (path: string, stats: Stats) =>
  new TreeEntry({
    path,
    kind: stats.isDirectory() ? "directory" : stats.isFile() ? "file" : stats.isSymbolicLink() ? "symlink" : "other",
    ...(stats.isFile() ? { size: stats.size } : {})
  })
