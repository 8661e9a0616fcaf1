/** The JSON of instances, events, secrets and workspaces, as REST and `--json` show them. */
export * from "./RestInstance.ts"
export * from "./RestNetwork.ts"
export * from "./RestSecret.ts"
export * from "./RestWorkspace.ts"
