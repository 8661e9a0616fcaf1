export * from "./BaseRootfs.ts"
export type { Progress, Report } from "./DebianPython.ts"
