/**
 * All tools, in the order in which clients list them. A new one is written in a file of `tools/` and named here.
 */
import type { Tool } from "./Tool.ts"
import { historyTools } from "./tools/History.ts"
import { imageTools } from "./tools/Images.ts"
import { instanceTools } from "./tools/Instances.ts"
import { logTools } from "./tools/Logs.ts"
import { runTools } from "./tools/Run.ts"
import { workspaceTools } from "./tools/Workspace.ts"

export const tools: ReadonlyArray<Tool> = [
  ...runTools,
  ...instanceTools,
  ...logTools,
  ...workspaceTools,
  ...imageTools,
  ...historyTools
]
