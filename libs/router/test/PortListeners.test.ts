import { Exposure, InstanceId, type PortBinding } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as net from "node:net"
import { PortListeners } from "../src/index.ts"

const owner = InstanceId.make("inst-1")
const tcp = (port: number) => new Exposure({ port, protocol: "tcp" })

const connected = ({ host }: PortBinding) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = net.connect(host, "127.0.0.1")
      await once(socket, "connect")
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const refused = ({ host }: PortBinding) =>
  Effect.promise(async () => {
    const [error] = await once(net.connect(host, "127.0.0.1"), "error")
    return error.code
  })

describe("PortListeners", () => {
  it.scoped(
    "S-202 one port is taken back alone: its connections are reset, the others go on, and it is free again",
    () =>
      Effect.gen(function* () {
        const listeners = yield* PortListeners
        yield* listeners.serve((connection) => void connection.on("error", () => undefined).pipe(connection))
        const { bindings } = yield* listeners.open(owner, [tcp(80)], [])
        const [first, second] = [bindings[0], yield* listeners.add(owner, tcp(81))]
        if (first === undefined) return assert.fail("nothing was bound")
        const [other, cut] = [yield* connected(first), yield* connected(second)]
        cut.write("here")
        yield* Effect.promise(() => once(cut, "data"))
        const reset = once(cut, "error")
        yield* listeners.remove(owner, 81)
        const [{ code }] = yield* Effect.promise(() => reset)
        assert.strictEqual(code, "ECONNRESET")
        assert.strictEqual(yield* refused(second), "ECONNREFUSED")
        other.write("still here")
        assert.strictEqual(String((yield* Effect.promise(() => once(other, "data")))[0]), "still here")
        const again = yield* listeners.add(owner, new Exposure({ port: 82, protocol: "tcp", hostPort: second.host }))
        assert.strictEqual(again.host, second.host)
        // What cannot be had leaves the rest alone.
        const taken = yield* Effect.flip(
          listeners.add(owner, new Exposure({ port: 83, protocol: "tcp", hostPort: first.host }))
        )
        assert.strictEqual(taken._tag, "PortTaken")
        yield* connected(first)
        yield* listeners.remove(owner, 99)
        yield* listeners.close(owner)
        for (const one of [first, again]) assert.strictEqual(yield* refused(one), "ECONNREFUSED")
      }).pipe(Effect.provide(PortListeners.layer))
  )
})
