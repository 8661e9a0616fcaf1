import { once } from "node:events"
import * as net from "node:net"

/** A port of the loopback that nobody had a moment ago, for programs that cannot choose one themselves. */
export const freePort = async (): Promise<number> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}
