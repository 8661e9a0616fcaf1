import { UnixSocket } from "@aegis/host"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"

/**
 * Two ends of one Unix socket, of which nothing is left at the scope's end. HTTP/2 in Node goes over a socket's handle as it does to a real guest;
 * over a stream of JavaScript's, Node 20 aborts the process now and then (`Http2Session::ConsumeHTTP2Data`).
 */
export const socketPair: Effect.Effect<readonly [net.Socket, net.Socket], never, Scope.Scope> = Effect.acquireRelease(
  Effect.gen(function* () {
    const directory = yield* Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "aegis-sim-")))
    const file = path.join(directory, "s")
    const server = net.createServer()
    const accepted = Effect.async<net.Socket>((resume) => {
      server.once("connection", (socket) => {
        // Whoever uses it hears of its errors; before that one must not end the process.
        socket.on("error", () => undefined)
        resume(Effect.succeed(socket))
      })
    })
    yield* Effect.async<void>((resume) => void server.listen(file, () => resume(Effect.void)))
    const ends = yield* Effect.all([UnixSocket.connect(file), accepted], { concurrency: "unbounded" })
    server.close()
    yield* Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
    return ends
  }).pipe(Effect.orDie),
  (ends) => Effect.sync(() => ends.forEach((end) => end.destroy()))
)
