/**
 * What can go wrong with secrets (`T-114` to `T-132`). Same rules as in Errors.ts; no message holds a value.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { DiskFull } from "./Errors.ts"

/** No secret has this name (D-05). */
export class SecretUnknown extends Schema.TaggedError<SecretUnknown>()(
  "SecretUnknown",
  { name: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message() {
    return `secret "${this.name}" not found`
  }
  get remedy() {
    return `aegis secret set ${this.name}; aegis secret list shows what there is`
  }
}

/** The store of secrets, or its key, cannot be used. Nothing of it was changed (T-114, T-115). */
export class VaultUnavailable extends Schema.TaggedError<VaultUnavailable>()(
  "VaultUnavailable",
  { path: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** One secret is not as it was stored; the others can be used (T-120). */
export class VaultCorrupt extends Schema.TaggedError<VaultCorrupt>()(
  "VaultCorrupt",
  { name: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `secret "${this.name}" cannot be read: ${this.reason}`
  }
  get remedy() {
    return `set it again: aegis secret set ${this.name}`
  }
}

/** What using the store can fail with, whichever secret it is about. */
export const VaultError = Schema.Union(VaultUnavailable, DiskFull)
export type VaultError = typeof VaultError.Type

/** What giving secrets to a guest can fail with. */
export const SecretError = Schema.Union(SecretUnknown, VaultCorrupt, ...VaultError.members)
export type SecretError = typeof SecretError.Type
