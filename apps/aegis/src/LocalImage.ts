/**
 * An image as typed: what is a file of this machine gets its absolute path here, since the daemon has a directory of its own.
 */
import { parseImageSource } from "@aegis/domain"
import * as Effect from "effect/Effect"
import * as path from "node:path"
import { UsageError } from "./Errors.ts"

/**
 * As the daemon takes it. A registry's image stays as it was typed; what cannot be an image is refused. `what` names the flag or
 * argument.
 */
export const imageText = (text: string, cwd: string | undefined, what: string): Effect.Effect<string, UsageError> =>
  Effect.flatMap(absolute(text, cwd, what), (image) =>
    parseImageSource(image).pipe(
      Effect.as(image),
      Effect.mapError(
        ({ reason, remedy }) => new UsageError({ message: `invalid ${what}: ${text} (${reason})`, remedy })
      )
    )
  )

const absolute = (text: string, cwd: string | undefined, what: string): Effect.Effect<string, UsageError> => {
  const [, prefix, rest = ""] = /^(oci|oci-archive|docker-archive|rootfs):(.*)$/s.exec(text) ?? []
  if (prefix === undefined) return Effect.succeed(text)
  // As with skopeo, a path ends at the first colon; only rootfs: takes the rest as it is.
  const colon = prefix === "rootfs" ? -1 : rest.indexOf(":")
  const file = colon === -1 ? rest : rest.slice(0, colon)
  const refuse = (reason: string, remedy: string) =>
    new UsageError({ message: `invalid ${what}: ${text} (${reason})`, remedy })
  if (file === "") return refuse("it names no file", `name it: ${prefix}:PATH`)
  if (path.isAbsolute(file)) return Effect.succeed(text)
  if (cwd === undefined) {
    return refuse(
      "it is relative to a working directory that no longer exists",
      "give an absolute path, or change to a directory that exists"
    )
  }
  const resolved = path.resolve(cwd, file)
  return prefix !== "rootfs" && resolved.includes(":")
    ? refuse(`a path that holds a colon cannot be written so: ${resolved}`, "make a symbolic link without one to it")
    : Effect.succeed(`${prefix}:${resolved}${colon === -1 ? "" : rest.slice(colon)}`)
}
