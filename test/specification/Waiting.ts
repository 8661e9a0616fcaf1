/**
 * Numbers that no test names, each with the reason. A number that has a test by now does not belong here.
 */
export const waiting: ReadonlyArray<readonly [reason: string, rows: string]> = [
  ["tools of the MCP server for secrets, and what guests print of them", "S-173 S-174 T-131 T-305"],
  ["the router in a browser, and tokens for it", "T-171 T-172 T-173 T-176 T-177 T-282"],
  ["files in and out of a guest; a guest that does not answer an exec", "S-151 T-143…T-149 T-239"],
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
