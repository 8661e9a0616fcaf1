/**
 * What a program needs to talk to AegisVM: the service, every Schema and error class of its calls, and whether a daemon runs.
 */
export * from "@aegis/domain"
export { AuditVerdict, ImageLoaded } from "@aegis/contract"
export * from "./Aegis.ts"
export { asCommandLine, asMcpTool, asProgram, ownName } from "./CallerName.ts"
export * from "./DaemonState.ts"
export * from "./Home.ts"
