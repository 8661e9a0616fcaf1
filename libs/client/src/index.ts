export * from "./Aegis.ts"
export * from "./DaemonState.ts"
export * from "./Home.ts"
