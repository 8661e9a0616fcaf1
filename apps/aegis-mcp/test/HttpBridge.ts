/**
 * `aegis-mcp` behind Streamable HTTP on loopback, for suites that only speak that: each session gets a process of its own, and messages
 * go through as they are. For tests alone: the product has no port for an agent.
 */
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { randomUUID } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"

export interface HttpBridge {
  readonly url: string
  readonly close: () => Promise<void>
}

export const httpBridge = async (program: string, env: Record<string, string>): Promise<HttpBridge> => {
  const sessions = new Map<string, StreamableHTTPServerTransport>()
  const children = new Set<StdioClientTransport>()

  const open = async () => {
    const child = new StdioClientTransport({ command: program, args: [], env, stderr: "ignore" })
    const session = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, session)
    })
    session.onmessage = (message) => void child.send(message)
    // Progress carries the token of its request, which is all that tells to whose stream it belongs; here there is one for all.
    child.onmessage = (message) => void session.send(message).catch(() => undefined)
    session.onclose = () => void child.close()
    children.add(child)
    await child.start()
    await session.start()
    return session
  }

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const id = request.headers["mcp-session-id"]
    const session = typeof id === "string" ? sessions.get(id) : await open()
    if (session === undefined) return void response.writeHead(404).end()
    await session.handleRequest(request, response)
  }
  const server = createServer((request, response) => {
    const host = (request.headers.host ?? "").replace(/:\d+$/, "")
    const origin = request.headers.origin
    const foreign = origin !== undefined && !/^https?:\/\/(localhost|127\.0\.0\.1)(:\d+)?$/.test(origin)
    if (foreign || !["localhost", "127.0.0.1"].includes(host)) return void response.writeHead(403).end()
    serve(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    close: async () => {
      await Promise.all([...children].map((child) => child.close()))
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
