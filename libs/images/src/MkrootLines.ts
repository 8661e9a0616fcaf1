/**
 * The JSON lines that aegis-mkroot writes (native-bridge/mkroot/report.go).
 */
import * as Schema from "effect/Schema"

/** What it has made: standard output's one line. */
export const MkrootResult = Schema.parseJson(
  Schema.Struct({
    /** The disk's size; zeros in it take no space on the host. */
    bytes: Schema.Int,
    /** Entries of all archives. */
    entries: Schema.Int
  })
)
export type MkrootResult = typeof MkrootResult.Type

/** How much of the archive's file, or of all layers' blobs, has been read. */
export const MkrootProgress = Schema.parseJson(
  Schema.Struct({ progress: Schema.Struct({ bytesIn: Schema.Int, entries: Schema.Int }) })
)

const Text = Schema.optionalWith(Schema.String, { default: () => "" })

/** Why it has failed: the last line of standard error. A field is empty where it does not apply. */
export const MkrootFailure = Schema.parseJson(
  Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    /** The archive's entry, bytes that are not UTF-8 as U+FFFD. */
    entry: Text,
    /** The layer's digest. */
    layer: Text,
    /** For `too-large` and `diff-mismatch`: what is, and what should be. */
    what: Text,
    limit: Text,
    expected: Text,
    actual: Text
  })
)
export type MkrootFailure = typeof MkrootFailure.Type
