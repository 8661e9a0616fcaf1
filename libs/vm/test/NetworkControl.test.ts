import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { NetworkControl } from "../src/index.ts"

/** aegis-net's socket: to the connections in turn it says these lines, and then closes them. */
const network = (...says: ReadonlyArray<ReadonlyArray<object>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = mkdtempSync(path.join(tmpdir(), "aegis-control-"))
      const heard: Array<string> = []
      const server = net.createServer((connection) => {
        connection.on("error", () => undefined)
        connection.once("data", (line) => {
          const lines = says[heard.push(line.toString().trim()) - 1] ?? []
          connection.end(lines.map((one) => `${JSON.stringify(one)}\n`).join(""))
        })
      })
      const socket = path.join(directory, "network.sock")
      await new Promise<void>((resolve) => server.listen(socket, resolve))
      return { directory, heard, server, socket }
    }),
    ({ directory, server }) =>
      Effect.sync(() => {
        server.close()
        rmSync(directory, { recursive: true })
      })
  )

const report = (more: number) => ({ report: { refused: [], more } })
const crash = { count: 1, why: "killed by SIGKILL" }

describe("NetworkControl", () => {
  it.scopedLive(
    "a connection without a last word is a crash: the next network is heard, until it says that it has ended",
    () =>
      Effect.gen(function* () {
        const { heard, socket } = yield* network(
          [report(1)],
          [],
          [{ report: { refused: [], more: 2, crash } }, report(3), { ended: true }],
          [report(4)]
        )
        const told = yield* Stream.runCollect(NetworkControl.reports(socket))
        assert.deepStrictEqual(
          Chunk.toReadonlyArray(told).map(({ crash, more }) => [more, crash]),
          [
            [1, undefined],
            [2, crash],
            [3, undefined]
          ]
        )
        assert.deepStrictEqual(heard, Array(3).fill('{"follow":true}'))
      })
  )

  it.scopedLive("what is asked while a network crashes is asked of the next; where there is none, that is said", () =>
    Effect.gen(function* () {
      const counters = { sentBytes: 1, sentPackets: 1, receivedBytes: 1, receivedPackets: 1, allowed: 1, refused: 1 }
      const { heard, server, socket } = yield* network([], [{ counters }], [], [], [])
      assert.strictEqual((yield* NetworkControl.traffic(socket)).allowed, 1)
      assert.strictEqual(heard.length, 2)
      const closed = yield* Effect.flip(NetworkControl.traffic(socket))
      assert.strictEqual(closed.message, "it closes the connection")
      yield* Effect.promise(() => new Promise((resolve) => server.close(resolve)))
      const gone = yield* Effect.flip(Stream.runDrain(NetworkControl.reports(socket)))
      assert.match(gone.message, /ENOENT|ECONNREFUSED/)
    })
  )
})
