export type { LogRecord } from "./BatchEncoder.ts"
export { defaultLimits, LogStore } from "./LogStore.ts"
export type { LogWriteError, LogWriter } from "./LogWriter.ts"
export type { LogLimits } from "./SegmentAppender.ts"
