/**
 * `aegis image`: the images of this machine.
 */
import { Aegis } from "@aegis/client"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "../Caller.ts"
import { escapeLine } from "../Escape.ts"
import {
  imageDetails,
  imageDetailsJson,
  imageListJson,
  imagesRemoved,
  imagesRemovedJson,
  imageTable
} from "../ImageText.ts"
import { jsonDocument } from "../JsonText.ts"
import { imageText } from "../LocalImage.ts"
import { showPull } from "../PullDisplay.ts"
import { untilSignal } from "../Signals.ts"
import { Stdio } from "../Stdio.ts"
import { textArgument } from "../Verbatim.ts"

const json = Options.boolean("json")
const one = { image: textArgument("IMAGE"), json }

/** As the daemon takes it: what is a file of this machine, with its absolute path. */
const sourceOf = (text: string, what = "IMAGE") => Effect.flatMap(Caller, ({ cwd }) => imageText(text, cwd, what))

const print = (text: string) => Effect.flatMap(Stdio, (stdio) => stdio.print(text))

const pull = Command.make("pull", { ...one, refresh: Options.boolean("refresh") }, ({ image, json, refresh }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const stdio = yield* Stdio
    const last = yield* showPull(aegis.imagePull(yield* sourceOf(image), { refresh }))
    if (Option.isNone(last) || last.value._tag !== "Pulled") return
    const { digest, name, stale } = last.value
    if (stale !== undefined)
      yield* stdio.note(`warning: ${escapeLine(stale)}; this is the image that was here before\n`)
    yield* stdio.print(
      json ? jsonDocument({ name, digest, stale: stale ?? null }) : `Pulled ${escapeLine(name)}@${digest}\n`
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const load = Command.make("load", { image: textArgument("SOURCE"), json }, ({ image, json }) =>
  Effect.gen(function* () {
    const aegis = yield* Aegis
    const last = yield* showPull(aegis.imageLoad(yield* sourceOf(image, "SOURCE")))
    if (Option.isNone(last) || last.value._tag !== "Loaded") return
    const { names } = last.value
    const text = names.length === 0 ? `Loaded ${escapeLine(image)}, which has no name of its own\n` : ""
    yield* print(
      json ? jsonDocument({ names }) : `${text}${names.map((name) => `Loaded ${escapeLine(name)}\n`).join("")}`
    )
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const list = Command.make("list", { json }, ({ json }) =>
  Effect.gen(function* () {
    const images = yield* (yield* Aegis).imageList
    yield* print(json ? jsonDocument(imageListJson(images)) : imageTable(images))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const inspect = Command.make("inspect", one, ({ image, json }) =>
  Effect.gen(function* () {
    const details = yield* (yield* Aegis).imageInspect(yield* sourceOf(image))
    yield* print(json ? jsonDocument(imageDetailsJson(details)) : imageDetails(details))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const remove = Command.make("remove", one, ({ image, json }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* Aegis).imageRemove(yield* sourceOf(image))
    yield* print(json ? jsonDocument(imagesRemovedJson(removed)) : imagesRemoved(removed))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

const prune = Command.make("prune", { all: Options.boolean("all"), json }, ({ all, json }) =>
  Effect.gen(function* () {
    const removed = yield* (yield* Aegis).imagePrune({ all })
    yield* print(json ? jsonDocument(imagesRemovedJson(removed)) : imagesRemoved(removed))
  }).pipe(Effect.provide(Aegis.layer), untilSignal)
)

export const images = Command.make("image").pipe(Command.withSubcommands([list, pull, inspect, load, remove, prune]))
