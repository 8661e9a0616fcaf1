/**
 * All tools, in the order in which clients list them. A new one is written in a file of `tools/` and named here.
 */
import type { Tool } from "./Tool.ts"
import { execTools } from "./tools/Exec.ts"
import { fileTools } from "./tools/Files.ts"
import { historyTools } from "./tools/History.ts"
import { imageTools } from "./tools/Images.ts"
import { instanceTools } from "./tools/Instances.ts"
import { logTools } from "./tools/Logs.ts"
import { networkTools } from "./tools/Network.ts"
import { portTools } from "./tools/Ports.ts"
import { runTools } from "./tools/Run.ts"
import { secretTools } from "./tools/Secrets.ts"
import { workspaceTools } from "./tools/Workspace.ts"

export const tools: ReadonlyArray<Tool> = [
  ...runTools,
  ...execTools,
  ...fileTools,
  ...instanceTools,
  ...portTools,
  ...networkTools,
  ...logTools,
  ...workspaceTools,
  ...secretTools,
  ...imageTools,
  ...historyTools
]
