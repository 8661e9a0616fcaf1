export * from "./Instances.ts"
