/**
 * Tunnels that a request of HTTP has left whole, for the next request to the same port of the same instance: a new one costs a stream of
 * the guest's channel and a connection inside the guest.
 */
import type { InstanceId } from "@aegis/domain"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import type { KeptConnection, PortConnection } from "./Destinations.ts"

/** Well below what servers wait for a connection's next request: Node and Apache 5 s, nginx 75 s. */
const patience = Duration.seconds(3)

/** For each port; what is beyond it is closed. */
const most = 64

interface Idle {
  readonly id: InstanceId
  readonly port: number
  readonly tunnel: Duplex
  readonly since: number
  readonly unfit: () => void
}

const release = ({ tunnel, unfit }: Idle): Duplex => {
  tunnel.off("close", unfit)
  return tunnel
}

/** None of them counts as a connection. They are closed with the scope. */
export const make = Effect.gen(function* () {
  const clock = yield* Effect.clock
  const idle = new Map<InstanceId, Map<number, Array<Idle>>>()
  const barred = new Set<InstanceId>()

  const close = (which: (one: Idle) => boolean) => {
    for (const [id, ports] of idle) {
      for (const [port, all] of ports) {
        for (const one of all) if (which(one)) release(one).destroy()
        const left = all.filter((one) => !which(one))
        if (left.length > 0) ports.set(port, left)
        else ports.delete(port)
      }
      if (ports.size === 0) idle.delete(id)
    }
  }

  const sweep = Effect.sync(() => {
    const now = clock.unsafeCurrentTimeMillis()
    close(({ since }) => now - since > Duration.toMillis(patience))
  })
  yield* Effect.forkScoped(Effect.schedule(sweep, Schedule.spaced("1 second")))
  yield* Effect.addFinalizer(() => Effect.sync(() => close(() => true)))

  /** Takes a tunnel whose last answer has come to its end. */
  const keep = (id: InstanceId, port: number, tunnel: Duplex): void => {
    const ports = idle.get(id) ?? new Map<number, Array<Idle>>()
    const all = ports.get(port) ?? []
    const fit = !tunnel.destroyed && !tunnel.readableEnded && tunnel.readableLength === 0
    if (barred.has(id) || all.length >= most || !fit) return void tunnel.destroy()
    const unfit = () => close((other) => other === one)
    const one: Idle = { id, port, tunnel, since: clock.unsafeCurrentTimeMillis(), unfit }
    // The client of its requests reads it all the while, and closes it at its end and at bytes that nobody has asked for.
    tunnel.on("close", unfit)
    all.push(one)
    idle.set(id, ports.set(port, all))
  }

  return {
    /** The one that was used last; it is kept again where its end says that it is whole, and else reset. */
    reuse: (id: InstanceId, port: number): KeptConnection | undefined => {
      const one = idle.get(id)?.get(port)?.pop()
      if (one === undefined) return undefined
      const tunnel = release(one)
      return { tunnel, end: (whole) => (whole ? keep(id, port, tunnel) : void tunnel.destroy()) }
    },
    /** A tunnel to a guest that runs, until the scope closes: it is reset then, or kept where that was said. */
    connection: <E, R>(
      id: InstanceId,
      port: number,
      dial: Effect.Effect<Duplex, E, R>
    ): Effect.Effect<PortConnection, E, R | Scope.Scope> =>
      Effect.suspend(() => {
        let whole = false
        return Effect.acquireRelease(dial, (tunnel) =>
          Effect.sync(() => (whole ? keep(id, port, tunnel) : void tunnel.destroy()))
        ).pipe(
          Effect.map((tunnel) => {
            barred.delete(id)
            return { tunnel, keep: () => void (whole = true) }
          })
        )
      }),
    /** Closes those to a port. */
    drop: (id: InstanceId, port: number): void => close((one) => one.id === id && one.port === port),
    /** Closes those of an instance whose guest stands still, and keeps none until it has been reached anew. */
    bar: (id: InstanceId): void => {
      close((one) => one.id === id)
      barred.add(id)
    },
    forget: (id: InstanceId): void => void barred.delete(id)
  }
})

export type IdleTunnels = Effect.Effect.Success<typeof make>
