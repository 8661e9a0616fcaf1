export * from "./Destinations.ts"
export * as IdleTunnels from "./IdleTunnels.ts"
export * from "./PortListeners.ts"
export * from "./Router.ts"
