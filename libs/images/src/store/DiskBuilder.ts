/**
 * What makes a root disk of layers, or of one archive: a program of its own, never this process.
 */
import type { Digest, PullError } from "@aegis/domain"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Compression } from "../registry/Manifest.ts"

/** A layer's blob, verified as it is read. */
export interface LayerFile {
  readonly path: string
  readonly compression: Compression
  readonly digest: Digest
  /** The digest of the unpacked tar. */
  readonly diffId: Digest
}

export interface BuildOptions {
  /** For messages. */
  readonly reference: string
  /** The file to make: whole, or not there. */
  readonly disk: string
  /** 0 to 1. */
  readonly report: (fraction: number) => void
}

export class DiskBuilder extends Context.Tag("@aegis/images/DiskBuilder")<
  DiskBuilder,
  {
    /** Merges layers, the bottom one first. Interruption ends the program and leaves nothing. */
    readonly merge: (
      options: BuildOptions & { readonly layers: ReadonlyArray<LayerFile> }
    ) => Effect.Effect<void, PullError>
    /** Takes an archive's entries as they are. */
    readonly fromTar: (options: BuildOptions & { readonly tar: string }) => Effect.Effect<void, PullError>
  }
>() {}
