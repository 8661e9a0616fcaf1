/** The rows of the log store against a real guest, in the order in which they are looked at. */
import type { LogRows } from "./Box.ts"
import { keptRows } from "./kept.suite.ts"
import { otherRows } from "./others.suite.ts"
import { saidRows } from "./said.suite.ts"

export const logRows: LogRows = { ...saidRows, ...keptRows, ...otherRows }
