/**
 * What can go wrong with the record of what happened (`T-252` to `T-276`). Same rules as in Errors.ts; a full disk is `DiskFull`.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { DiskFull } from "./Errors.ts"

/** Another process held the journal's lock for longer than we wait. Nothing was written. */
export class StoreBusy extends Schema.TaggedError<StoreBusy>()(
  "StoreBusy",
  { path: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `${this.path} is locked by another process`
  }
  get remedy() {
    return "try again; if it stays, end the other program that has the file open (fuser names it)"
  }
}

/** The journal is not as we left it. The file is kept as it is. */
export class StoreCorrupt extends Schema.TaggedError<StoreCorrupt>()(
  "StoreCorrupt",
  { path: Schema.String, reason: Schema.String },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
  get remedy() {
    return `put a copy of it back, or move ${this.path} and what begins with its name away to begin an empty journal; it was not changed`
  }
}

/** A newer version has written the journal (T-250). The file is kept as it is. */
export class SchemaTooNew extends Schema.TaggedError<SchemaTooNew>()(
  "SchemaTooNew",
  { path: Schema.String, found: Schema.Int, known: Schema.Int },
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message() {
    return `${this.path} has the schema ${this.found} of a newer version; this one knows up to ${this.known}`
  }
  get remedy() {
    return "use the newer version of AegisVM, or the copy that it made of the older journal beside it"
  }
}

/** The journal cannot be read or written: permissions, a read-only or broken disk, a file that was taken away. */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()(
  "StoreUnavailable",
  { path: Schema.String, reason: Schema.String, remedy: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** What reading or writing the open journal can fail with. */
export const StoreError = Schema.Union(StoreBusy, StoreCorrupt, StoreUnavailable, DiskFull)
export type StoreError = typeof StoreError.Type

/** What opening it can fail with. */
export const StoreOpenError = Schema.Union(StoreBusy, StoreCorrupt, StoreUnavailable, DiskFull, SchemaTooNew)
export type StoreOpenError = typeof StoreOpenError.Type
