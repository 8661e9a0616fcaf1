/**
 * The base root file system, as far as the CLI knows of it: its record, and the daemon program that makes one.
 */
import { AegisHome } from "@aegis/client"
import { RootfsSubstituted } from "@aegis/domain"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { clearLine } from "./BootProgress.ts"
import { Caller, downloadEnvironment } from "./Caller.ts"
import { lines } from "./ChildProgram.ts"
import { escapeLine } from "./Escape.ts"
import { RootfsFailed } from "./Errors.ts"
import { Stdio } from "./Stdio.ts"

/** `rootfs.json`: what the active variant is (D-11). */
export class RootfsRecord extends Schema.Class<RootfsRecord>("RootfsRecord")({
  variant: Schema.String,
  source: Schema.String,
  digest: Schema.String,
  bytes: Schema.optional(Schema.Int),
  createdAt: Schema.optional(Schema.String)
}) {}

/** The active variant, if there is one. */
export const activeRootfs: Effect.Effect<
  Option.Option<RootfsRecord>,
  never,
  AegisHome | FileSystem.FileSystem
> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { path } = yield* AegisHome
  return yield* fs
    .readFileString(`${path}/base-rootfs/rootfs.json`)
    .pipe(Effect.flatMap(Schema.decode(Schema.parseJson(RootfsRecord))), Effect.option)
})

/** A line of `aegisd rootfs ensure`. */
const Progress = Schema.Struct({
  phase: Schema.String,
  fraction: Schema.optional(Schema.Number),
  detail: Schema.optional(Schema.String)
})
type Progress = typeof Progress.Type
const Failed = Schema.Struct({
  error: Schema.Struct({ _tag: Schema.String, message: Schema.String, remedy: Schema.optional(Schema.String) })
})
const decodeLine = Schema.decodeEither(Schema.parseJson(Schema.Union(Progress, Failed, RootfsSubstituted)))

/** Shows what is done on standard error: one line that changes on a terminal, one for each phase elsewhere. */
export const progressDisplay = (stdio: Context.Tag.Service<typeof Stdio>) => {
  let phase = ""
  const show = (progress: Progress) => {
    const begun = progress.phase !== phase
    phase = progress.phase
    const percent = progress.fraction === undefined ? "" : ` ${Math.floor(progress.fraction * 100)} %`
    const text = escapeLine(`${progress.phase}${percent}${progress.detail === undefined ? "" : `: ${progress.detail}`}`)
    if (stdio.isTerminal) return stdio.note(`${clearLine}  ${text.slice(0, 76)}`)
    return begun ? stdio.note(`  ${text}\n`) : Effect.void
  }
  return { show, clear: stdio.isTerminal ? stdio.note(clearLine) : Effect.void }
}

/**
 * Makes the base root file system by `aegisd rootfs ensure`, showing on standard error what is done. Which variant it is, and
 * why, is said first: nothing is swapped silently (D-11).
 */
export const ensureRootfs = (daemon: string): Effect.Effect<void, RootfsFailed, Caller | Stdio> =>
  Effect.gen(function* () {
    const caller = yield* Caller
    const stdio = yield* Stdio
    yield* stdio.note("No base root file system yet: getting the default one, python.\n")
    let failure: typeof Failed.Type.error | undefined
    const display = progressDisplay(stdio)
    const substituted = ({ because, made, wanted }: RootfsSubstituted) =>
      Effect.zipRight(
        display.clear,
        stdio.note(
          `${wanted} cannot be had: ${escapeLine(because)}.\nMaking ${made} from Debian's packages instead; aegis rootfs pull ${wanted} gets the other one later.\n`
        )
      )
    yield* lines(daemon, ["rootfs", "ensure"], downloadEnvironment(caller.env)).pipe(
      Stream.runForEach((line) =>
        Either.match(decodeLine(line), {
          onLeft: () => Effect.void,
          onRight: (told) => {
            if ("phase" in told) return display.show(told)
            if ("because" in told) return substituted(told)
            failure = told.error
            return Effect.void
          }
        })
      ),
      Effect.ensuring(display.clear),
      Effect.mapError(
        (ended) =>
          new RootfsFailed({
            message: failure?.message ?? `base root file system: ${ended.stderr.trim() || ended.message}`,
            remedy: failure?.remedy ?? "aegis doctor checks this machine; then aegis up tries again"
          })
      )
    )
  })
