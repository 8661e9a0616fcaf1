/**
 * The tools for files inside guests. Paths are the guest's: nothing of this machine is read or written.
 */
import { Aegis } from "@aegis/client"
import { filePieceLimit, FileWriting, GuestFilePath, InvalidArgument } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fileContent } from "../FileContent.ts"
import { dataLimit } from "../OutputLimit.ts"
import { type Tool, tool } from "../Tool.ts"
import { Target } from "./Instances.ts"

const usualLimit = 32 * 1024

const Path = GuestFilePath.annotations({ description: "An absolute path in the guest, such as /workspace/app.py." })

const Mode = Schema.transform(
  Schema.String.pipe(Schema.pattern(/^0?[0-7]{3}$/, { message: () => "permissions are three octal digits: 755" })),
  Schema.Int,
  { strict: true, decode: (text) => Number.parseInt(text, 8), encode: (mode) => mode.toString(8).padStart(3, "0") }
)

const upTo = (size: number) =>
  size <= filePieceLimit ? undefined : `at most ${filePieceLimit} bytes in one call: append the rest`

const Base64 = Schema.Uint8ArrayFromBase64.annotations({
  message: () => ({ message: "it is no base64", override: true })
}).pipe(Schema.filter(({ length }) => upTo(length)))

const Text = Schema.String.pipe(
  Schema.filter((text) =>
    /[\ud800-\udfff]/u.test(text) ? "it has half a character: give bytes as base64" : upTo(Buffer.byteLength(text))
  )
)

const states = "An instance that is paused is resumed, one that starts is waited for, one that is stopped is refused."

export const fileTools: ReadonlyArray<Tool> = [
  tool({
    name: "file_read",
    title: "Read a guest's file",
    description: `Reads a regular file inside an instance, or a piece of it: as text where it is UTF-8, as base64 elsewhere. ${states}`,
    effects: { readOnly: true, idempotent: true },
    input: Schema.Struct({
      ...Target.fields,
      path: Path,
      offset: Schema.optional(
        Schema.NonNegativeInt.annotations({ description: "Begin at this byte: `next` of the call before." })
      ),
      limit: Schema.optional(
        Schema.Int.pipe(Schema.between(1, dataLimit)).annotations({
          description: `The most bytes that are wanted; ${usualLimit} where it is not given. An answer may have fewer.`
        })
      )
    }),
    output: Schema.Struct({
      path: Schema.String,
      size: Schema.Int.annotations({
        description: "Of the whole file, in bytes; 0 of the kernel's own files, such as those of /proc."
      }),
      offset: Schema.Int,
      bytes: Schema.Int.annotations({ description: "How many bytes of it these are." }),
      text: Schema.optional(Schema.String),
      base64: Schema.optional(
        Schema.String.annotations({ description: "In the place of `text`, where it is not UTF-8 or has a NUL." })
      ),
      more: Schema.Boolean.annotations({ description: "Whether the file goes on behind them." }),
      next: Schema.optional(Schema.Int.annotations({ description: "Call again with this as `offset`." }))
    }),
    handle: ({ limit = usualLimit, offset = 0, path, target }) =>
      Effect.gen(function* () {
        const aegis = yield* Aegis
        const piece = yield* aegis.readFile(target, path, offset, limit)
        const { size } = piece
        // What the kernel makes up has no size; where it ends shows when there is less than was asked for.
        const last = size === 0 ? piece.bytes.length < limit : offset + piece.bytes.length >= size
        const content = fileContent(piece.bytes, last)
        const more = content.bytes > 0 && (content.bytes < piece.bytes.length || !last)
        return { path, size, offset, ...content, more, ...(more ? { next: offset + content.bytes } : {}) }
      })
  }),
  tool({
    name: "file_write",
    title: "Write a guest's file",
    description: `Writes a file inside an instance, and makes it and its directories where they are not there. It belongs to root. ${states}`,
    effects: { destructive: true },
    input: Schema.Struct({
      ...Target.fields,
      path: Path,
      text: Schema.optional(Text.annotations({ description: "What is written, at most 512 KiB in UTF-8." })),
      base64: Schema.optional(Base64.annotations({ description: "The same for bytes, in the place of `text`." })),
      how: Schema.optional(
        FileWriting.fields.how.annotations({
          description:
            "Whether to replace what the file holds, which is so where it is not given, to append to it, or to create it and refuse a file that is there."
        })
      ),
      mode: Schema.optional(
        Mode.annotations({ description: "Its permissions in octal: 755 for a program. A new file has 644 without it." })
      )
    }),
    output: Schema.Struct({
      path: Schema.String,
      bytes: Schema.Int.annotations({ description: "How many were written." })
    }),
    handle: ({ base64, how = "replace", mode, path, target, text }) =>
      Effect.gen(function* () {
        const bytes = text === undefined ? base64 : Buffer.from(text)
        if (bytes === undefined || (text !== undefined && base64 !== undefined)) {
          return yield* new InvalidArgument({
            argument: "text",
            reason: "one of text and base64 is needed, and not both",
            remedy: 'give what is to be written as text, or as base64; an empty file is text: ""'
          })
        }
        const aegis = yield* Aegis
        yield* aegis.writeFile(target, path, bytes, { how, ...(mode === undefined ? {} : { mode }) })
        return { path, bytes: bytes.length }
      })
  })
]
