/**
 * `.mcp.json`: the servers that a project offers to the agents that work in it. Only the entry `aegis` is ours.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { HostFailed } from "./Errors.ts"

const Anything = Schema.Record({ key: Schema.String, value: Schema.Unknown })
const Document = Schema.Struct({ mcpServers: Schema.optional(Anything) }, { key: Schema.String, value: Schema.Unknown })
type Document = typeof Document.Type

/** How a client starts the server. */
export const serverEntry = (binary: string) => ({ type: "stdio", command: binary, args: [] })

/** What a person pastes into a client's configuration. */
export const configuration = (binary: string) => ({ mcpServers: { aegis: serverEntry(binary) } })

/** Writes the entry into the file, which is made where there is none; everything else in it stays. */
export const register = (file: string, binary: string) =>
  Effect.flatMap(read(file), (document) =>
    write(file, { ...document, mcpServers: { ...document.mcpServers, aegis: serverEntry(binary) } })
  )

/** Takes the entry out of the file; false where it has none. */
export const unregister = (file: string) =>
  Effect.flatMap(read(file), (document) => {
    const { aegis, ...others } = document.mcpServers ?? {}
    return aegis === undefined
      ? Effect.succeed(false)
      : Effect.as(write(file, { ...document, mcpServers: others }), true)
  })

/** Nothing, where there is no file. One that cannot be understood is left alone. */
const read = (file: string): Effect.Effect<Document, HostFailed, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.catchIf(
      fs.readFileString(file),
      (error) => error._tag === "SystemError" && error.reason === "NotFound",
      () => Effect.succeed("{}")
    )
    return yield* Schema.decode(Schema.parseJson(Document))(text)
  }).pipe(
    Effect.mapError(
      (error) =>
        new HostFailed({
          message: `${file}: ${error._tag === "ParseError" ? "it is no JSON object with mcpServers" : error.message}`,
          remedy: "repair it or move it away; it has been left as it is"
        })
    )
  )

/** As a whole or not at all. A link stays a link, and the file keeps its mode. */
const write = (file: string, document: Document): Effect.Effect<void, HostFailed, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const real = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
    const mode = yield* fs.stat(real).pipe(
      Effect.map((info) => info.mode & 0o777),
      Effect.orElseSucceed(() => 0o644)
    )
    const temporary = `${real}.${process.pid}.new`
    yield* fs.writeFileString(temporary, `${JSON.stringify(document, null, 2)}\n`, { flag: "wx", mode }).pipe(
      Effect.andThen(fs.rename(temporary, real)),
      Effect.tapError(() => Effect.ignore(fs.remove(temporary)))
    )
  }).pipe(
    Effect.mapError(
      (error) => new HostFailed({ message: error.message, remedy: `check the owner and mode of ${file}` })
    )
  )
