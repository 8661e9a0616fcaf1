/**
 * The base root file system, as far as the CLI knows of it: its record, and the daemon program that makes one.
 */
import { AegisHome } from "@aegis/client"
import { RootfsSubstituted, rootfsVariants } from "@aegis/domain"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Caller, downloadEnvironment } from "./Caller.ts"
import { lines } from "./ChildProgram.ts"
import { escapeLine } from "./Escape.ts"
import { RootfsFailed } from "./Errors.ts"
import { progressLine, type Step } from "./ProgressLine.ts"
import { building, percent } from "./PullText.ts"
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

/** `python, the default, from docker.io/library/python:3.12-alpine` */
const standard = rootfsVariants
  .slice(0, 1)
  .map(({ image, name }) => `${name}, the default${image === undefined ? "" : `, from ${image}`}`)
  .join()

/** A step of making a base root file system, in words. */
export const rootfsText = ({ detail, fraction, phase }: Progress): Step => {
  const words = phaseWords[phase] ?? escapeLine(phase)
  const figures = `${fraction === undefined || phase === "done" ? "" : ` ${percent(fraction)}`}`
  const text = `${words}${figures}${detail === undefined ? "" : `: ${escapeLine(detail)}`}`
  // What was looked for and what came of it stay true; figures of the moment do not.
  return { phase: phase === "resolving" || phase === "done" ? text : words, text }
}

const phaseWords: Readonly<Record<string, string>> = {
  resolving: "Resolving",
  downloading: "Downloading",
  packages: "Getting packages",
  disk: building,
  done: "Done"
}

/**
 * Makes the base root file system by `aegisd rootfs ensure`, showing on standard error what is done. Which variant it is, and
 * why, is said first: nothing is swapped silently (D-11).
 */
export const ensureRootfs = (daemon: string): Effect.Effect<void, RootfsFailed, Caller | Stdio> =>
  Effect.gen(function* () {
    const caller = yield* Caller
    const stdio = yield* Stdio
    yield* stdio.note(`No base root file system yet: making ${standard}\n`)
    let failure: typeof Failed.Type.error | undefined
    const line = yield* progressLine
    const substituted = ({ because, made, wanted }: RootfsSubstituted) =>
      Effect.zipRight(
        line.clear,
        stdio.note(
          `${wanted} cannot be had: ${escapeLine(because)}; making ${made} from Debian's packages instead (aegis rootfs pull ${wanted} replaces it later)\n`
        )
      )
    yield* lines(daemon, ["rootfs", "ensure"], downloadEnvironment(caller.env)).pipe(
      Stream.runForEach((text) =>
        Either.match(decodeLine(text), {
          onLeft: () => Effect.void,
          onRight: (told) => {
            if ("phase" in told) return line.show(rootfsText(told))
            if ("because" in told) return substituted(told)
            failure = told.error
            return Effect.void
          }
        })
      ),
      Effect.ensuring(line.clear),
      Effect.mapError(
        (ended) =>
          new RootfsFailed({
            message: failure?.message ?? `base root file system: ${ended.stderr.trim() || ended.message}`,
            remedy: failure?.remedy ?? "aegis doctor checks this machine; then aegis up tries again"
          })
      )
    )
  })
