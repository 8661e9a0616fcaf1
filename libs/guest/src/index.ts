export * from "./Frames.ts"
export * from "./GuestChannel.ts"
export * from "./Protocol.ts"
