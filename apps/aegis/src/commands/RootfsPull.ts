/**
 * `aegis rootfs pull`: S-191, S-193, S-195.
 */
import { Aegis } from "@aegis/client"
import { RootfsVariant, rootfsVariants } from "@aegis/domain"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { rootfsText } from "../BaseRootfs.ts"
import { flagValue } from "../FlagValue.ts"
import { jsonDocument } from "../JsonText.ts"
import { progressLine } from "../ProgressLine.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { textArgument } from "../Verbatim.ts"

const config = { variant: Args.optional(textArgument("VARIANT")), json: Options.boolean("json") }

export const rootfsPull = Command.make("pull", config, ({ json, variant }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const names = rootfsVariants.map(({ name }) => name).join(", ")
    const wanted = yield* flagValue(
      RootfsVariant,
      "variant",
      Option.getOrElse(variant, () => "python"),
      `use one of ${names}`
    )
    const line = yield* progressLine
    yield* aegis.rootfsPull(wanted).pipe(
      Stream.runForEach((step) => line.show(rootfsText(step))),
      Effect.ensuring(line.clear)
    )
    yield* stdio.print(json ? jsonDocument({ variant: wanted, active: true }) : `Base root file system: ${wanted}\n`)
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)
