export { make } from "./QemuBackend.ts"
