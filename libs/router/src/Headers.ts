/**
 * What of a message's headers goes on to the next hop (RFC 9110 section 7.6).
 */

const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings"
])

/** What `Connection` may not take away: without them the message would be another one (T-159). */
const kept = new Set(["host", "content-length", "content-encoding", "content-type", "trailer", "date"])

/** Names and values in turn, without those for this hop alone, and without what only we may say. */
export const endToEnd = (rawHeaders: ReadonlyArray<string>, direction: "request" | "response"): Array<string> => {
  const named = new Set<string>()
  pairs(rawHeaders, (name, value) => {
    if (name.toLowerCase() === "connection") for (const token of value.split(",")) named.add(token.trim().toLowerCase())
  })
  const result: Array<string> = []
  pairs(rawHeaders, (name, value) => {
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || (named.has(lower) && !kept.has(lower))) return
    if (lower.startsWith("x-aegis-")) return
    if (direction === "request" && (lower.startsWith("x-forwarded-") || lower === "forwarded")) return
    result.push(name, value)
  })
  return result
}

const pairs = (rawHeaders: ReadonlyArray<string>, each: (name: string, value: string) => void) => {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    each(rawHeaders[index] ?? "", rawHeaders[index + 1] ?? "")
}

/** The same as pairs. */
export const asPairs = (rawHeaders: ReadonlyArray<string>): Array<[string, string]> => {
  const result: Array<[string, string]> = []
  pairs(rawHeaders, (name, value) => result.push([name, value]))
  return result
}
