/**
 * Numbers that no test names, each with the reason. A number that has a test by now does not belong here.
 */
export const waiting: ReadonlyArray<readonly [reason: string, rows: string]> = [
  ["secrets", "S-013 S-073 S-077 S-091 S-171…S-181 D-05 T-7 T-8 T-114…T-132 T-305"],
  ["exposed ports and the router", "S-065 S-070 S-089 S-105…S-107 S-110 S-198…S-202 D-08 D-14 T-5 T-151…T-186 T-282"],
  ["exec and files", "S-147…S-158 T-143…T-149 T-239 T-306"],
  ["the MCP server", "S-011 S-182…S-189"],
  ["the guest's network", "T-249"],
  ["the REST face under attack", "T-21…T-28 T-33 T-34 T-36…T-39 T-42…T-44 T-47 T-48"],
  ["workspaces as a command of their own", "T-135 T-137 T-150"],
  ["limits of the machine that are not forced on it yet", "T-264 T-270 T-284"],
  ["the harness's files and the shared directory under attack", "T-244 T-248"]
]

/** Numbers that speak of what this product does not have. */
export const foreign: ReadonlyArray<readonly [reason: string, rows: string]> = [
  ["guests have no API on the host: nothing to spawn, lease, stop or expose from inside", "T-192…T-198 T-200"],
  ["the harness listens on no network, only on the channel of its VM", "T-213"]
]
