/**
 * Who is connected to the daemon's socket: never more than a cap, and never another user (T-42, T-48).
 */
import * as Effect from "effect/Effect"
import type * as http from "node:http"
import { statSync } from "node:fs"
import type { Socket } from "node:net"
import * as path from "node:path"
import { type Problem, problemText } from "./Problem.ts"

/** Well below the usual limit of open files, which the daemon needs for its guests as well. */
const usualCap = 512

/** What a refused client may take to read why, in milliseconds. */
const lastWords = 1000

const tooMany: Problem = {
  status: 503,
  code: "TooManyConnections",
  error: "too many connections are open",
  remedy: "close those that are not needed, and try again"
}

const loosened: Problem = {
  status: 403,
  code: "PeerRefused",
  error: "others than the daemon's user can reach its socket",
  remedy: "chmod 700 the daemon's home; chmod 600 its aegisd.sock"
}

/**
 * Watches over a server's connections until it closes. Where there are too many, the one that has been idle for the longest is told so
 * and closed; where all are at work, the newest. As long as anybody else could come in, nobody does.
 *
 * @param socket the path it listens on.
 */
export const guardConnections = (server: http.Server, socket: string, cap = usualCap): Effect.Effect<void> =>
  Effect.sync(() => {
    const open = new Set<Socket>()
    // In the order in which they became idle.
    const idle = new Set<Socket>()
    // Of one that is refused nothing may be read as a request.
    const serve = server.listeners("connection")
    server.removeAllListeners("connection")
    server.on("connection", (connection: Socket) => {
      connection.on("error", () => undefined)
      if (isLoosened(socket)) return refuse(connection, loosened)
      for (const one of serve) Reflect.apply(one, server, [connection])
      open.add(connection)
      idle.add(connection)
      connection.once("close", () => {
        open.delete(connection)
        idle.delete(connection)
      })
      if (open.size <= cap) return
      const [longest = connection] = idle
      open.delete(longest)
      idle.delete(longest)
      refuse(longest, tooMany)
    })
    server.on("upgrade", ({ socket: connection }) => idle.delete(connection))
    server.on("request", ({ socket: connection }, response) => {
      idle.delete(connection)
      response.once("close", () => {
        if (open.has(connection) && !connection.destroyed) idle.add(connection)
      })
    })
  })

const refuse = (connection: Socket, why: Problem) => {
  const body = problemText(why)
  const head = `HTTP/1.1 ${why.status} Refused\r\ncontent-type: application/json\r\nconnection: close`
  // What it has sent is taken and dropped: unread, it would reset the connection under the answer.
  connection.resume()
  connection.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  connection.setTimeout(lastWords, () => connection.destroy())
}

/** Both the socket and its directory let others through: either alone keeps them out. */
const isLoosened = (socket: string) =>
  [socket, path.dirname(socket)].every((file) => {
    const found = statSync(file, { throwIfNoEntry: false })
    return found !== undefined && (found.mode & 0o077) !== 0
  })
