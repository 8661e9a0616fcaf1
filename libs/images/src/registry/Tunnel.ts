/**
 * Connections through an HTTP proxy: CONNECT, RFC 9110 section 9.3.6.
 */
import * as Either from "effect/Either"
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"
import { ProxyFailed } from "./Failure.ts"
import { isLoopback } from "./RegistriesFile.ts"

export interface Target {
  readonly hostname: string
  readonly port: number
}

const connectMillis = 20_000

/**
 * Has the proxy open a connection to `target`. `proxy` is what the variable holds; its login, if any, goes to it alone. After the first
 * call of `done` any other says nothing new.
 */
export const openTunnel = (
  proxy: string,
  target: Target,
  done: (error: Error | null, socket?: Socket) => void
): void => {
  const url = proxyUrl(proxy)
  if (url === undefined) return done(new ProxyFailed({ message: "HTTPS_PROXY holds no http: or https: URL" }))
  const authority = `${target.hostname.includes(":") ? `[${target.hostname}]` : target.hostname}:${target.port}`
  const login = Buffer.from(`${url.username}:${url.password}`).toString("base64")
  const request = (url.protocol === "https:" ? https : http).request({
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port,
    method: "CONNECT",
    path: authority,
    headers: {
      host: authority,
      ...(url.username === "" ? {} : { "proxy-authorization": `Basic ${login}` })
    },
    agent: false,
    timeout: connectMillis
  })
  const failed = (reason: string) => done(new ProxyFailed({ message: `the proxy ${url.host} ${reason}` }))
  request.once("timeout", () => {
    request.destroy()
    failed("does not answer")
  })
  request.on("error", (error: NodeJS.ErrnoException) => failed(`cannot be used (${error.code ?? error.message})`))
  request.once("response", (response) => {
    response.destroy()
    failed(`answered ${response.statusCode ?? 0}`)
  })
  request.once("connect", (response, socket) => {
    if (response.statusCode === 200) return done(null, socket.setTimeout(0))
    socket.destroy()
    failed(`refused it with ${response.statusCode ?? 0}`)
  })
  request.end()
}

/** Whether `NO_PROXY` names the target: hosts, domains, `host:port`, `*`. Loopback never goes through a proxy. */
export const goesDirect = (direct: string, { hostname, port }: Target): boolean => {
  const name = hostname.toLowerCase()
  if (isLoopback(name) || name === "::1") return true
  return direct
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      const [host = "", only] = entry.split(/:(?=[0-9]+$)/)
      if (only !== undefined && Number(only) !== port) return false
      const domain = host.replace(/^\*?\./, "")
      return host === "*" || name === domain || name.endsWith(`.${domain}`)
    })
}

/** With the login as it is meant, not as a URL has to write it. */
const proxyUrl = (text: string) => {
  const full = text.includes("://") ? text : `http://${text}`
  if (!URL.canParse(full)) return undefined
  const { host, hostname, password, port, protocol, username } = new URL(full)
  if (protocol !== "http:" && protocol !== "https:") return undefined
  const plain = Either.try(() => ({ username: decodeURIComponent(username), password: decodeURIComponent(password) }))
  return Either.isRight(plain) ? { host, hostname, port, protocol, ...plain.right } : undefined
}
