/**
 * How named workspaces are shown: as a table, in full, and as JSON.
 */
import { RestWorkspace, restWorkspace } from "@aegis/contract/shapes"
import type { WorkspaceInfo } from "@aegis/domain"
import * as Schema from "effect/Schema"
import { escapeLine } from "./Escape.ts"
import { formatBytes } from "./ImageText.ts"

const row = (name: string, size: string, files: string, users: string) =>
  `${name.padEnd(30)} ${size.padEnd(12)} ${files.padEnd(10)} ${users}\n`

/** A line for each. */
export const workspaceTable = (all: ReadonlyArray<WorkspaceInfo>): string =>
  all.length === 0
    ? "No workspaces\n"
    : row("NAME", "SIZE", "FILES", "USED BY") +
      all.map((one) => row(one.name, sizeOf(one), filesOf(one), usersOf(one).join(", ") || "-")).join("")

/** One line for each thing known, values from column 13 on. */
export const workspaceDetails = (one: WorkspaceInfo): string => {
  const line = (label: string, value: string) => `${`${label}:`.padEnd(13)}${escapeLine(value)}\n`
  return [
    line("Name", one.name),
    line("Path", one.path),
    line("Size", sizeOf(one)),
    line("Files", filesOf(one)),
    ...one.usedBy.map(({ handle, id, state }) => line("Used by", `${handle ?? id} (${state})`))
  ].join("")
}

/** As the REST API has it (D-23). */
export const workspaceJson = (one: WorkspaceInfo): typeof RestWorkspace.Encoded =>
  Schema.encodeSync(RestWorkspace)(restWorkspace(one))

const atLeast = ({ complete }: WorkspaceInfo) => (complete ? "" : "> ")
const sizeOf = (one: WorkspaceInfo) => atLeast(one) + formatBytes(one.bytes)
const filesOf = (one: WorkspaceInfo) => atLeast(one) + String(one.entries)
const usersOf = ({ usedBy }: WorkspaceInfo) => usedBy.map(({ handle, id }) => escapeLine(handle ?? id))
