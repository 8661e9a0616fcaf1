/**
 * Remembers the probe's verdict until the machine boots again or a part of a backend changes.
 */
import { BackendVerdict } from "@aegis/domain"
import { AtomicFile, AegisPaths } from "@aegis/host"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const Entry = Schema.parseJson(Schema.Struct({ bootId: Schema.String, key: Schema.String, verdict: BackendVerdict }))

export class VerdictCache extends Context.Tag("@aegis/vm/VerdictCache")<
  VerdictCache,
  {
    /** The verdict kept under this key since the machine's last boot. An unreadable file is no verdict. */
    readonly get: (key: string) => Effect.Effect<Option.Option<BackendVerdict>>
    /** Keeps it; a failure to write only costs the next daemon a probe. */
    readonly set: (key: string, verdict: BackendVerdict) => Effect.Effect<void>
  }
>() {
  /** In `backend.json` of the daemon's data directory. */
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = `${(yield* AegisPaths).data}/backend.json`
      // Linux gives each boot an id; where there is none, nothing is remembered across daemons.
      const bootId = yield* fs.readFileString("/proc/sys/kernel/random/boot_id").pipe(
        Effect.map((text) => text.trim()),
        Effect.option
      )
      return VerdictCache.of({
        get: (key) =>
          fs
            .readFileString(path)
            .pipe(
              Effect.flatMap(Schema.decode(Entry)),
              Effect.option,
              Effect.map(Option.filter((entry) => entry.key === key && Option.contains(bootId, entry.bootId))),
              Effect.map(Option.map((entry) => entry.verdict))
            ),
        set: (key, verdict) =>
          Effect.gen(function* () {
            if (Option.isNone(bootId)) return
            const text = yield* Schema.encode(Entry)({ bootId: bootId.value, key, verdict })
            yield* AtomicFile.write(path, Buffer.from(text), 0o600)
          }).pipe(Effect.catchAll((error) => Effect.logWarning("the backend's verdict was not kept", error)))
      })
    })
  )

  /** Remembers nothing. */
  static readonly layerNone = Layer.succeed(this, { get: () => Effect.succeedNone, set: () => Effect.void })
}
