export * from "./Vault.ts"
