/**
 * `aegis cp`: files into an instance and out of it.
 */
import { Aegis } from "@aegis/client"
import { GuestFilePath } from "@aegis/domain"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { copyIn, copyOut, type Copied, type GuestPlace } from "../copy/Copying.ts"
import { UsageError } from "../Errors.ts"
import { escapeLine } from "../Escape.ts"
import { flagValue } from "../FlagValue.ts"
import { jsonDocument } from "../JsonText.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { readTarget } from "../Target.ts"
import { textArgument } from "../Verbatim.ts"

const config = { places: Args.all([textArgument("FROM"), textArgument("TO")]), json: Options.boolean("json") }

export const copy = Command.make("cp", config, ({ json, places: [from, to] }) =>
  Effect.gen(function* () {
    const [source, destination] = yield* Effect.all([placeOf(from), placeOf(to)])
    if (typeof source === "string" && typeof destination !== "string") {
      yield* tell(yield* untilSignal(copyIn(source, destination)), json)
    } else if (typeof source !== "string" && typeof destination === "string") {
      if (destination === "-" && json) {
        return yield* new UsageError({ message: "standard output is the archive's", remedy: "leave --json out" })
      }
      yield* tell(yield* untilSignal(copyOut(source, destination)), json)
    } else {
      return yield* new UsageError({
        message: "one of FROM and TO must be in an instance, and one on this machine",
        remedy: "aegis cp FILE HANDLE_OR_ID:/PATH, or aegis cp HANDLE_OR_ID:/PATH FILE"
      })
    }
  }).pipe(Effect.provide(Aegis.layer))
)

/** A path of this machine, or of an instance: `./a:b` and `/a:b` have a slash before their colon. */
const placeOf = (text: string): Effect.Effect<string | GuestPlace, UsageError> =>
  Effect.gen(function* () {
    const colon = text.indexOf(":")
    if (text === "") {
      return yield* new UsageError({ message: "a path is empty", remedy: "aegis cp --help" })
    }
    if (colon <= 0 || text.slice(0, colon).includes("/")) return text
    const target = yield* readTarget(text.slice(0, colon))
    const path = yield* flagValue(GuestFilePath, "path", text.slice(colon + 1), `${target}:/workspace/FILE`)
    return { target, path }
  })

const tell = (copied: Copied, json: boolean) =>
  Effect.gen(function* () {
    const stdio = yield* Stdio
    const { bytes, files, leftOut } = copied
    if (json) return yield* stdio.print(jsonDocument({ files, bytes, left_out: leftOut }))
    for (const name of leftOut.slice(0, 10)) {
      yield* stdio.note(`left out, since it leads out of the copy or is no file: ${escapeLine(name)}\n`)
    }
    if (leftOut.length > 10) yield* stdio.note(`left out as well: ${leftOut.length - 10} more\n`)
  })
