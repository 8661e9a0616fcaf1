/** The runtime over the simulated backend, a journal in memory and a home of its own. */
import { journalInMemory } from "@aegis/journal"
import type { SimulatedOptions } from "@aegis/vm"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { runtimeAt } from "./runtimeAt.ts"

export const home = mkdtempSync(path.join(tmpdir(), "aegis-instances-"))
export const workspaces = path.join(home, "data", "workspaces")

export const runtime = (options: Partial<SimulatedOptions> = {}) =>
  runtimeAt({ home, journal: journalInMemory, ...options })
