/**
 * An answer of the router's own: a page that a person can read, or JSON for who asks for it.
 */
import { type IncomingMessage, STATUS_CODES } from "node:http"

export interface Refusal {
  readonly status: number
  /** A tag, as every error has one (D-15). */
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export const refusal = (status: number, code: string, message: string, remedy: string): Refusal => ({
  status,
  code,
  message,
  remedy
})

/** Seconds after which a client may come again (S-201). */
const retryAfter = 3

/** Headers as they are written, and the body, in the form that the request asks for. */
export const answerOf = (
  { code, message, remedy, status }: Refusal,
  request: Pick<IncomingMessage, "headers"> | undefined
): { readonly headers: ReadonlyArray<string>; readonly body: string } => {
  const accept = request?.headers.accept ?? ""
  const [type, body] = accept.includes("json")
    ? ["application/json", `${JSON.stringify({ error: message, code, remedy })}\n`]
    : accept.includes("text/html")
      ? ["text/html", page(status, message, remedy)]
      : ["text/plain", `${message}\n  try: ${remedy}\n`]
  return {
    headers: [
      "Content-Type",
      `${type}; charset=utf-8`,
      "Content-Length",
      String(Buffer.byteLength(body)),
      "Cache-Control",
      "no-store",
      "X-Content-Type-Options",
      "nosniff",
      ...(status === 503 ? ["Retry-After", String(retryAfter)] : [])
    ],
    body
  }
}

/** The whole answer as bytes, for a connection that no parser holds any more. It ends the connection. */
export const rawAnswer = (refused: Refusal, request?: Pick<IncomingMessage, "headers">): string => {
  const { body, headers } = answerOf(refused, request)
  const lines = headers.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${headers[index + 1]}`] : []))
  return `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status] ?? ""}\r\n${lines.join("\r\n")}\r\nConnection: close\r\n\r\n${body}`
}

const page = (status: number, message: string, remedy: string) =>
  `<!doctype html><meta charset="utf-8"><title>${status} ${STATUS_CODES[status] ?? ""}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{background:#8882;padding:.1em .3em}</style>
<h1>${status} ${STATUS_CODES[status] ?? ""}</h1><p>${escape(message)}</p><p>Try: <code>${escape(remedy)}</code></p>
`

const escape = (text: string) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)
