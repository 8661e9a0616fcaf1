export { make } from "./QemuBackend.ts"
export { type QemuCommandOptions, qemuArguments } from "./QemuCommand.ts"
