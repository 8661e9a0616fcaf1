/**
 * What the daemon and those that call it agree upon; `/exec` and the like have parts of
 * its calls, `/shapes` the JSON of `--json` and REST, `/rest` the REST face.
 */
export { commandLineHeaders, mcpToolHeaders, programHeaders } from "./CallerHeader.ts"
export * from "./CauseOfCall.ts"
export { AuditVerdict } from "./HistoryRpcs.ts"
export { ImageLoaded } from "./HomeRpcs.ts"
export * from "./LogBatch.ts"
export * from "./RpcPath.ts"
export * from "./Rpcs.ts"
export * from "./SpokenExposure.ts"
export * from "./SpokenTime.ts"
