/**
 * Node's HTTP client over one tunnel, request after request.
 */
import * as http from "node:http"
import type { Duplex } from "node:stream"

class TunnelAgent extends http.Agent {
  readonly #tunnel: Duplex
  /** Whether the last answer has left the tunnel fit for another request. */
  isFree = false

  constructor(tunnel: Duplex) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 })
    // What Node calls on a socket before it is used again; a tunnel keeps no process alive.
    this.#tunnel = "ref" in tunnel ? tunnel : Object.assign(tunnel, { ref: () => tunnel })
  }

  override createConnection() {
    return this.#tunnel
  }

  override getName() {
    return ""
  }

  // Node's own is for sockets of the kernel's, which a tunnel need not be.
  override keepSocketAlive() {
    this.isFree = true
    return true
  }

  override reuseSocket(tunnel: Duplex, request: http.ClientRequest) {
    this.isFree = false
    super.reuseSocket(tunnel, request)
  }
}

const agents = new WeakMap<Duplex, TunnelAgent>()

/** The agent of a tunnel, the same as long as there is the tunnel. */
export const agentOf = (tunnel: Duplex): TunnelAgent => {
  const agent = agents.get(tunnel) ?? new TunnelAgent(tunnel)
  agents.set(tunnel, agent)
  return agent
}
