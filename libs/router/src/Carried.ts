/**
 * How many bytes clients have sent and were sent, told now and then while a connection is open and when it is over.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Socket } from "node:net"

/** Takes what has come since it was last told. */
export type Tell = (bytes: { readonly received: number; readonly sent: number }) => void

/** A connection that stays open for days is seen all the while. */
const interval = "5 seconds"

export const make = Effect.gen(function* () {
  const known = new WeakMap<Socket, { received: number; sent: number }>()
  const open = new Map<Socket, Tell>()

  const tell = (socket: Socket, to: Tell) => {
    const before = known.get(socket) ?? { received: 0, sent: 0 }
    const now = { received: socket.bytesRead, sent: socket.bytesWritten - socket.writableLength }
    known.set(socket, now)
    const more = { received: now.received - before.received, sent: now.sent - before.sent }
    if (more.received > 0 || more.sent > 0) to(more)
  }

  const look = Effect.sync(() => {
    for (const [socket, to] of open) tell(socket, to)
  })
  yield* Effect.forkScoped(Effect.schedule(look, Schedule.spaced(interval)))

  return {
    /** Tells what passes through a client's connection from now on. */
    begin: (socket: Socket, to: Tell) => void open.set(socket, to),
    /** Tells the rest. */
    end: (socket: Socket) => {
      const to = open.get(socket)
      open.delete(socket)
      if (to !== undefined) tell(socket, to)
    }
  }
})
