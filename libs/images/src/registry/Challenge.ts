/**
 * What a registry's 401 asks for: RFC 9110 section 11, with the parameters of the distribution project's token specification.
 */
import * as Either from "effect/Either"

export type Challenge =
  { readonly _tag: "Bearer"; readonly realm: string; readonly service: string | undefined } | { readonly _tag: "Basic" }

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const schemePattern = new RegExp(`[\\s,]*(${token})(?=\\s|,|$)(?!\\s*=)`, "y")
const parameterPattern = new RegExp(`[\\s,]*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]*))\\s*(?=,|$)`, "y")

/**
 * The challenge to answer among those of a `WWW-Authenticate` header: a token where one is offered, else a password. Other schemes
 * and parameters are passed over, `scope` too: we ask for no more than we need.
 */
export const parseChallenge = (header: string | undefined): Either.Either<Challenge, string> => {
  if (header === undefined || header.trim() === "") return Either.left("it wants a login and does not say which")
  if (header.length > 8192) return Either.left("its challenge is longer than 8 KiB")
  const found: Array<{ readonly scheme: string; readonly parameters: Map<string, string> }> = []
  let at = 0
  while (header.slice(at).replace(/[\s,]+/y, "") !== "") {
    const parameter = matchAt(parameterPattern, header, at)
    const scheme = parameter === null ? matchAt(schemePattern, header, at) : null
    const current = found.at(-1)
    if (parameter !== null && current !== undefined) {
      const name = (parameter[1] ?? "").toLowerCase()
      const value = parameter[2]?.replace(/\\(.)/g, "$1") ?? parameter[3] ?? ""
      if (!current.parameters.has(name)) current.parameters.set(name, value)
      at += parameter[0].length
    } else if (scheme !== null) {
      found.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters: new Map() })
      at += scheme[0].length
    } else return Either.left("its challenge cannot be read")
  }
  const bearer = found.find(({ scheme }) => scheme === "bearer")
  if (bearer !== undefined) {
    const realm = bearer.parameters.get("realm")
    if (realm === undefined || realm === "") return Either.left("it wants a token and does not say from where")
    return Either.right({ _tag: "Bearer", realm, service: bearer.parameters.get("service") })
  }
  if (found.some(({ scheme }) => scheme === "basic")) return Either.right({ _tag: "Basic" })
  return Either.left("it wants a login of a kind that is not supported")
}

const matchAt = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at
  return pattern.exec(text)
}
