export * as Virtiofsd from "./Virtiofsd.ts"
export * from "./Workspaces.ts"
