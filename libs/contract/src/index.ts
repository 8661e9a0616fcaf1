export * from "./Rest.ts"
export * from "./RestError.ts"
export * from "./Rpcs.ts"
