/**
 * Numbers that no test names, each with the reason. A number that has a test by now does not belong here.
 */
export const waiting: ReadonlyArray<readonly [reason: string, rows: string]> = []

/** Numbers that speak of what this product does not have. */
export const foreign: ReadonlyArray<readonly [reason: string, rows: string]> = [
  ["guests have no API on the host: nothing to spawn, lease, stop or expose from inside", "T-192…T-198 T-200"],
  ["the harness listens on no network, only on the channel of its VM", "T-213"]
]
