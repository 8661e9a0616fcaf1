import { version } from "@aegis/domain"

/**
 * Where the typed face is served, MessagePack over a WebSocket on the daemon's Unix socket. Both sides are of one version: one of another
 * is not found there, and never misread (T-284).
 */
export const rpcPath = `/rpc/${version}`
