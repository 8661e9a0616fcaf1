/** A runtime whose simulated guests lead to servers of this machine: their ports, their tunnels and the router are the real ones. */
import { Client } from "@aegis/client/promise"
import { Runtime } from "@aegis/runtime"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type { Duplex } from "node:stream"
import { bridge } from "../../client/src/promise/Bridge.ts"

/** Passes a connection on, with its halves. */
const passOn = (connection: Duplex, port: number) => {
  const server = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
  connection.pipe(server).pipe(connection)
  connection.on("error", () => server.destroy())
  connection.on("close", () => server.destroy())
  // What came before a reset is passed on first, as a kernel's buffers are.
  server.on("error", () => connection.end(() => connection.destroy()))
}

export interface Leading {
  readonly client: Client
  /** Starts a guest that serves what this machine does; gives the port that is exposed for it. */
  readonly expose: (handle: string, port: number, protocol: "http" | "tcp") => Promise<number>
  readonly close: () => Promise<void>
}

export const leading = (settings: Readonly<Record<string, string>> = {}): Leading => {
  const home = mkdtempSync(path.join(tmpdir(), "aegis-leading-"))
  const runtime = Runtime.layerSimulated({
    home,
    settings,
    bootTime: "20 millis",
    programs: ([, port]) =>
      Option.some(({ listen }) =>
        Effect.zipRight(
          listen(80, (connection) => passOn(connection, Number(port))),
          Effect.never
        )
      )
  })
  const client = new Client(bridge(ManagedRuntime.make(runtime)))
  return {
    client,
    expose: async (handle, port, protocol) => {
      const { instance } = await client.start({
        command: ["lead", String(port)],
        handle,
        exposes: [{ port: 80, protocol }]
      })
      return instance.endpoints[0]?.host ?? 0
    },
    close: async () => {
      await client.close()
      rmSync(home, { recursive: true, force: true })
    }
  }
}
