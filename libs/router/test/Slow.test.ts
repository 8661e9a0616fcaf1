/**
 * slowhttptest, which opens hundreds of connections and sends and reads as slowly as it may, against the router.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import { execFile } from "node:child_process"
import { ask, house, listening } from "./house.ts"

const connections = 400

const slowly = (port: number, mode: ReadonlyArray<string>) =>
  Effect.async<string>((resume) => {
    const args = [...mode, "-c", connections, "-r", "200", "-l", "10", "-p", "3", "-u", `http://127.0.0.1:${port}/`]
    const child = execFile("slowhttptest", args.map(String), { env: { ...process.env, LC_ALL: "C" } }, (_, stdout) =>
      // eslint-disable-next-line no-control-regex
      resume(Effect.succeed(stdout.replaceAll(/\u001b\[[\d;]*\w/g, "")))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("clients that take all the time there is", () => {
  it.scopedLive.each([
    { what: "heads (slowloris)", mode: ["-H", "-i", "2"] },
    { what: "bodies", mode: ["-B", "-i", "2", "-s", "8192"] },
    { what: "reading", mode: ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "32", "-k", "3"] }
  ])(
    "T-164 T-165 T-180 slow $what: the others are served meanwhile, and nothing is held when it is over",
    ({ mode }) =>
      Effect.gen(function* () {
        const body = "x".repeat(256 * 1024)
        const guest = yield* listening(
          http.createServer((request, response) => {
            request.on("end", () => response.end(body)).on("error", () => undefined)
            request.resume()
          })
        )
        const { opened, port } = yield* house([{ name: "web", port: guest }])
        const attack = yield* Effect.fork(slowly(port, mode))
        yield* Effect.sleep("3 seconds")
        const took: Array<number> = []
        for (let i = 0; i < 20; i++) {
          const begun = performance.now()
          const { body: got, status } = yield* ask(port, "/")
          assert.deepStrictEqual([status, got.length], [200, body.length])
          took.push(performance.now() - begun)
          yield* Effect.sleep("200 millis")
        }
        // The machine may have other things to do at any one moment.
        assert.isBelow(took.sort((a, b) => a - b)[10] ?? Infinity, 2_000)
        const report = yield* attack
        assert.match(report, /service available:\s+YES/, report)
        const last = (what: string) => Number([...report.matchAll(new RegExp(`${what}:\\s+(\\d+)`, "g"))].at(-1)?.[1])
        assert.strictEqual(last("connected") + last("closed"), connections, report)
        yield* Effect.iterate(0, {
          while: (tries) => tries < 100 && opened() > 0,
          body: (tries) => Effect.as(Effect.sleep("100 millis"), tries + 1)
        })
        assert.strictEqual(opened(), 0)
      }),
    40_000
  )
})
