export * from "./Frames.ts"
export * from "./GuestChannel.ts"
export * from "./GuestExecs.ts"
export * from "./Protocol.ts"
