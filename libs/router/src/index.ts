export * from "./Destinations.ts"
export * from "./PortListeners.ts"
export * from "./Router.ts"
