/** undici's client for one connection: the package's index would bring fetch, caches and WebSockets into every daemon's start. */
declare module "undici/lib/dispatcher/client.js" {
  import type { Duplex } from "node:stream"
  import type { Dispatcher } from "undici"

  export default class Client {
    constructor(
      origin: string,
      options: {
        /** Must not call back before it has returned. */
        readonly connect: (options: unknown, callback: (error: Error | null, connection?: Duplex) => void) => void
        readonly pipelining: number
      }
    )
    dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean
  }
}
