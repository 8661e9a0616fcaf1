/**
 * Images that are files of this machine.
 */
import { ImageInvalid, imageSourceName, type LocalSource, type PullError, type RootfsTar } from "@aegis/domain"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { archiveFiles } from "./ArchiveFiles.ts"
import { dockerArchiveOrigin } from "./DockerArchiveOrigin.ts"
import { layoutOrigin, type LocalOrigin } from "./OciLayout.ts"
import { directoryFiles, fingerprintOf, sourceAbsent } from "./SourceFiles.ts"

/** What the source's file looks like now; none where there is none. */
export const sourceFingerprint = (source: LocalSource): Effect.Effect<string | undefined, PullError> =>
  fingerprintOf(source._tag === "OciDirectory" ? `${source.path}/index.json` : source.path)

/** Opens it until the scope closes. `temporary` takes what must be unpacked to be read. */
export const openLocal = (
  source: Exclude<LocalSource, RootfsTar>,
  temporary: string
): Effect.Effect<LocalOrigin, PullError, Scope.Scope> =>
  Effect.gen(function* () {
    const name = imageSourceName(source)
    if ((yield* fingerprintOf(source.path)) === undefined) return yield* sourceAbsent(name, source.path)()
    if (source._tag === "OciDirectory") return yield* layoutOrigin(name, directoryFiles(name, source.path), source.tag)
    const files = yield* archiveFiles(name, source.path, temporary)
    return source._tag === "OciArchive"
      ? yield* layoutOrigin(name, files, source.tag)
      : yield* dockerArchiveOrigin(name, files, source.reference)
  })

/** Fails where the source's file has been written to since it had that fingerprint. */
export const unchangedSince = (source: LocalSource, fingerprint: string): Effect.Effect<void, PullError> =>
  Effect.flatMap(sourceFingerprint(source), (now) =>
    now === fingerprint
      ? Effect.void
      : new ImageInvalid({
          reference: imageSourceName(source),
          what: "archive",
          reason: "it was written to while it was read"
        })
  )
