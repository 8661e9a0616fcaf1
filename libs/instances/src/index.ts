export * from "./Instances.ts"
export type { ReachError } from "./Reaching.ts"
