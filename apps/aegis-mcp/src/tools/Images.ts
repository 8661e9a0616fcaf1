/**
 * The tools for images and the base root file system.
 */
import { Aegis, AegisHome } from "@aegis/client"
import { ImageSummary, Pulled, RootfsRecord, RootfsVariant, rootfsVariants } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import { page } from "../OutputLimit.ts"
import { type Failure, NoInput, type Tool, tool } from "../Tool.ts"

const Variants = Schema.Struct({
  variants: Schema.Array(Schema.Struct({ variant: RootfsVariant, about: Schema.String, active: Schema.Boolean }))
})

export const imageTools: ReadonlyArray<Tool> = [
  tool({
    name: "image_list",
    title: "List images",
    description: "Lists the OCI images that are on this machine and what they take of its disk.",
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      after: Schema.optional(
        Schema.String.annotations({ description: "Go on behind this one: `next` of the call before." })
      )
    }),
    output: Schema.Struct({
      images: Schema.Array(ImageSummary),
      total_bytes: Schema.Int,
      next: Schema.optional(Schema.String)
    }),
    handle: ({ after }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const { images, totalBytes } = yield* aegis.imageList
        const from = images.findIndex(({ name }) => name === after) + 1
        const { items, more } = yield* page(Stream.fromIterable(images.slice(from)))
        return { images: items, total_bytes: totalBytes, next: more ? items.at(-1)?.name : undefined }
      })
  }),
  tool({
    name: "image_pull",
    title: "Pull an image",
    description:
      "Brings an OCI image from its registry and makes it ready to boot, so that the first run from it is fast.",
    effects: { idempotent: true, openWorld: true },
    input: Schema.Struct({
      image: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4200)).annotations({
        description: "Its name, such as alpine:3.21."
      }),
      refresh: Schema.optional(
        Schema.Boolean.annotations({ description: "Ask the registry also where the image is here already." })
      )
    }),
    output: Schema.Struct({ image: Pulled }),
    handle: ({ image, refresh = false }, { progress }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const last = yield* aegis.imagePull(image, { refresh }).pipe(
          Stream.tap((step) => progress(step._tag)),
          Stream.runLast
        )
        const pulled = Option.filter(last, (step): step is Pulled => step._tag === "Pulled")
        return { image: yield* Effect.mapError(pulled, () => pullCutShort) }
      })
  }),
  tool({
    name: "rootfs_list",
    title: "List base root file systems",
    description: "Lists what an instance can boot from where no image is named, and which variant is active.",
    effects: { readOnly: true, idempotent: true },
    input: NoInput,
    output: Variants,
    handle: () =>
      Effect.gen(function* () {
        const { path } = yield* AegisHome
        const record = yield* Effect.tryPromise(() => fs.readFile(`${path}/base-rootfs/rootfs.json`, "utf8")).pipe(
          Effect.flatMap(Schema.decode(Schema.parseJson(RootfsRecord.pipe(Schema.pick("variant"))))),
          Effect.option
        )
        const active = Option.getOrUndefined(record)?.variant
        return {
          variants: rootfsVariants.map(({ about, name }) => ({ variant: name, about, active: name === active }))
        }
      })
  })
]

const pullCutShort: Failure = {
  _tag: "PullCutShort",
  message: "aegisd ended the pull before the image was here",
  remedy: "try again"
}
