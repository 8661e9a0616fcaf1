export { make } from "./LibkrunBackend.ts"
