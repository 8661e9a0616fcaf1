/**
 * `@aegis/client/promise`: AegisVM without Effect in one's own code.
 */
export * from "@aegis/domain"
export { AuditVerdict, ImageLoaded } from "@aegis/contract"
export type { ClientOptions, EventQuery } from "../Aegis.ts"
export type { Abortable } from "./Bridge.ts"
export * from "./Client.ts"
export { Exec, type Finished, Sandbox } from "./GuestCommand.ts"
export type { ExecRequest, InstanceRequest, KeepaliveLease, PortRequest, SecretValue } from "./Requests.ts"
