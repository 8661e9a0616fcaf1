/**
 * Each row's hash covers the row and the hash before it: whoever changes, removes or inserts one must change all that follow.
 */
import { createHash } from "node:crypto"

/** Stands where the first row's predecessor would. */
export const zeroHash = "0".repeat(64)

/** A row as it is stored; `cause` and `data` are the stored JSON texts, byte by byte. */
export interface HashedRow {
  readonly seq: number
  readonly at: number
  readonly instanceId: string | null
  readonly cause: string
  readonly data: string
}

/** SHA-256 over the UTF-8 of a JSON array of the row's fields in this order, in hexadecimal digits. */
export const hashOf = (previousHash: string, { at, cause, data, instanceId, seq }: HashedRow): string =>
  createHash("sha256")
    .update(JSON.stringify([previousHash, seq, at, instanceId, cause, data]))
    .digest("hex")
