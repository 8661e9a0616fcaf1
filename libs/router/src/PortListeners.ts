/**
 * The ports of the host that lead to instances: one listener on 127.0.0.1 for each exposed port, for as long as its instance has
 * a record, so that a connection can wake one that is stopped (S-202, D-14).
 */
import { type Exposure, type InstanceId, PortBinding, PortTaken } from "@aegis/domain"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as net from "node:net"

/** The first port of the range that is nobody's by registration (RFC 6335 section 6). */
const firstPort = 49_152
const lastPort = 65_535

/** Connections to one port at the same time; the kernel's queue holds those that come beyond them for a moment. */
const maxConnections = 10_000

/** Takes a connection, which is its own from then on. */
export type ConnectionHandler = (connection: net.Socket, owner: InstanceId, binding: PortBinding) => void

export interface OpenedPorts {
  readonly bindings: ReadonlyArray<PortBinding>
  /** Ports that it had before and that somebody else has now. */
  readonly lost: ReadonlyArray<{ readonly from: PortBinding; readonly to: PortBinding }>
}

export class PortListeners extends Context.Tag("@aegis/router/PortListeners")<
  PortListeners,
  {
    /**
     * Listens for an instance's exposed ports: on the ports of `before` where they are free, else on others. A port that was asked for
     * by number and is not in `before` is that one or none. Nothing is left open by a failure.
     */
    readonly open: (
      owner: InstanceId,
      exposes: ReadonlyArray<Exposure>,
      before: ReadonlyArray<PortBinding>
    ) => Effect.Effect<OpenedPorts, PortTaken>
    /** Listens for one more exposed port: on the port that it asks for, or on any that is free. */
    readonly add: (owner: InstanceId, exposure: Exposure) => Effect.Effect<PortBinding, PortTaken>
    /** Stops listening for one port of its guest, and cuts off the connections that came by it. */
    readonly remove: (owner: InstanceId, guestPort: number) => Effect.Effect<void>
    /** Stops listening for an instance; connections that are open go on. */
    readonly close: (owner: InstanceId) => Effect.Effect<void>
    /** Who takes connections; until somebody does, they are closed at once. */
    readonly serve: (handler: ConnectionHandler) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.suspend(() => make)
  )
}

interface Listening {
  readonly guest: number
  readonly server: net.Server
  readonly connections: Set<net.Socket>
}

const make = Effect.gen(function* () {
  const owners = new Map<InstanceId, ReadonlyArray<Listening>>()
  let handler: ConnectionHandler = (connection) => connection.destroy()
  let next = firstPort

  const listen = (
    owner: InstanceId,
    { port, protocol }: Exposure,
    host: number
  ): Effect.Effect<PortBinding, PortTaken> =>
    Effect.async((resume) => {
      // A client that ends its side first still gets its answer.
      const server = net.createServer({ allowHalfOpen: true, noDelay: true })
      const binding = new PortBinding({ guest: port, host, protocol })
      const connections = new Set<net.Socket>()
      server.maxConnections = maxConnections
      server.once("error", (error: NodeJS.ErrnoException) =>
        resume(new PortTaken({ port: host, reason: reasons[error.code ?? ""] ?? error.message }))
      )
      server.listen({ host: "127.0.0.1", port: host }, () => {
        owners.set(owner, [...(owners.get(owner) ?? []), { guest: port, server, connections }])
        server.removeAllListeners("error")
        // What goes wrong with one connection is that one's matter.
        server.on("error", () => undefined)
        server.on("connection", (connection) => {
          connections.add(connection)
          connection.once("close", () => connections.delete(connection))
          handler(connection, owner, binding)
        })
        resume(Effect.succeed(binding))
      })
    })

  /** Any free port of the range, each in its turn: one that was just given up is not taken again at once. */
  const listenAnywhere = (owner: InstanceId, exposure: Exposure): Effect.Effect<PortBinding, PortTaken> => {
    const attempt = (left: number): Effect.Effect<PortBinding, PortTaken> =>
      Effect.suspend(() => {
        const port = next
        next = next === lastPort ? firstPort : next + 1
        return Effect.catchTag(listen(owner, exposure, port), "PortTaken", (error) =>
          left === 0 ? error : attempt(left - 1)
        )
      })
    return attempt(lastPort - firstPort)
  }

  const close = (owner: InstanceId) =>
    Effect.sync(() => {
      for (const { server } of owners.get(owner) ?? []) server.close()
      owners.delete(owner)
    })

  const add = (owner: InstanceId, exposure: Exposure) =>
    exposure.hostPort === undefined ? listenAnywhere(owner, exposure) : listen(owner, exposure, exposure.hostPort)

  const remove = (owner: InstanceId, guestPort: number) =>
    Effect.sync(() => {
      const listening = owners.get(owner) ?? []
      for (const { connections, guest, server } of listening) {
        if (guest !== guestPort) continue
        server.close()
        // A reset tells it from an end.
        for (const connection of connections) connection.resetAndDestroy()
      }
      owners.set(
        owner,
        listening.filter(({ guest }) => guest !== guestPort)
      )
    })

  const open = (owner: InstanceId, exposes: ReadonlyArray<Exposure>, before: ReadonlyArray<PortBinding>) =>
    Effect.forEach(exposes, (exposure) => {
      const from = before.find(({ guest }) => guest === exposure.port)
      if (from === undefined) return Effect.map(add(owner, exposure), (to) => ({ from: to, to }))
      return listen(owner, exposure, from.host).pipe(
        Effect.catchTag("PortTaken", () => listenAnywhere(owner, exposure)),
        Effect.map((to) => ({ from, to }))
      )
    }).pipe(
      Effect.map((ports) => ({
        bindings: ports.map(({ to }) => to),
        lost: ports.filter(({ from, to }) => from.host !== to.host)
      })),
      Effect.onError(() => close(owner)),
      Effect.uninterruptible,
      Effect.withSpan("PortListeners.open", { attributes: { owner } })
    )

  yield* Effect.addFinalizer(() => Effect.forEach([...owners.keys()], close, { discard: true }))
  return PortListeners.of({
    open,
    add: (owner, exposure) =>
      Effect.withSpan(Effect.uninterruptible(add(owner, exposure)), "PortListeners.add", { attributes: { owner } }),
    remove,
    close,
    serve: (takes) =>
      Effect.sync(() => {
        handler = takes
      })
  })
})

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "somebody listens there already",
  EACCES: "may not be listened on by this user"
}
