import { ByCli, Exposure, Handle, InstanceSpec, PortBinding } from "@aegis/domain"
import { journalAt } from "@aegis/journal"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as fc from "effect/FastCheck"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import { mkdtempSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Instances } from "../src/index.ts"
import { runtimeAt } from "./runtimeAt.ts"

const cause = new ByCli({ command: "test" })
const web = Handle.make("web")
const http = (port: number, hostPort?: number) =>
  Schema.decodeSync(Exposure)({ port, ...(hostPort === undefined ? {} : { hostPort }) })

/** A daemon of its own; another one goes on with its home where there is one. */
const daemon = <A, E>(work: Effect.Effect<A, E, Instances>, home = mkdtempSync(path.join(tmpdir(), "aegis-expose-"))) =>
  work.pipe(
    Effect.provide(runtimeAt({ home, journal: journalAt({ file: path.join(home, "data", "journal.db") }) })),
    Effect.scoped
  )

const started = (...exposes: ReadonlyArray<Exposure>) =>
  Effect.gen(function* () {
    const instances = yield* Instances
    const command = ["serve-echo", "80", "81"] as const
    const { instance } = yield* instances.start(new InstanceSpec({ command, handle: web, exposes }), cause)
    yield* instances.wake(web, cause)
    return { instances, id: instance.id }
  })

/** Whether somebody takes connections there. */
const answers = (port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    socket.once("connect", () => socket.destroy())
  })

/** A port that nobody has, and a holder that has it. */
const holder = Effect.acquireRelease(
  Effect.async<net.Server>((resume) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(
  Effect.map((server) => {
    const address = server.address()
    return { server, port: typeof address === "object" && address !== null ? address.port : 0 }
  })
)

describe("ports that are exposed later", () => {
  it.live(
    "S-070 S-202 a port is listened on at once, in every state; again is no failure, otherwise is a conflict",
    () =>
      daemon(
        Effect.gen(function* () {
          const { instances } = yield* started()
          const { endpoints } = yield* instances.expose(web, http(80), cause)
          const [first] = endpoints
          assert.lengthOf(endpoints, 1)
          assert.isTrue(yield* answers(first?.host ?? 0))
          assert.deepStrictEqual((yield* instances.expose(web, http(80), cause)).endpoints, endpoints)
          assert.deepStrictEqual((yield* instances.expose(web, http(80, first?.host), cause)).endpoints, endpoints)
          for (const other of [http(80, 1025), new Exposure({ port: 80, protocol: "tcp" })]) {
            const refused = yield* Effect.flip(instances.expose(web, other, cause))
            assert.strictEqual(refused._tag, "AlreadyExposed")
            assert.include(refused.message, `port ${first?.host} of this machine leads to it (http)`)
          }
          yield* instances.pause(web, cause)
          assert.lengthOf((yield* instances.expose(web, http(81), cause)).endpoints, 2)
          const stopped = yield* instances.unexpose(web, 81, cause)
          assert.deepInclude(stopped, { state: "paused", endpoints })
          assert.strictEqual((yield* Effect.flip(instances.unexpose(web, 81, cause)))._tag, "NotExposed")
          assert.strictEqual((yield* Effect.flip(instances.expose("ghost", http(80), cause)))._tag, "NotFound")
        })
      )
  )

  it.live("T-182 T-5 a port of the host that somebody has is refused and changes nothing; 64 are the most", () =>
    daemon(
      Effect.scoped(
        Effect.gen(function* () {
          const { instances } = yield* started(http(80))
          const before = yield* instances.get(web)
          const { port, server } = yield* holder
          const taken = yield* Effect.flip(instances.expose(web, http(81, port), cause))
          assert.deepInclude(taken, { _tag: "PortTaken", port })
          const own = yield* Effect.flip(instances.expose(web, http(81, before.endpoints[0]?.host), cause))
          assert.strictEqual(own._tag, "PortTaken")
          assert.deepStrictEqual((yield* instances.get(web)).endpoints, before.endpoints)
          server.close()
          const { endpoints } = yield* instances.expose(web, http(81, port), cause)
          assert.deepStrictEqual(endpoints[1], new PortBinding({ guest: 81, host: port, protocol: "http" }))
          for (let guest = 1000; guest < 1062; guest++) yield* instances.expose(web, http(guest), cause)
          const full = yield* Effect.flip(instances.expose(web, http(2000), cause))
          assert.strictEqual(full._tag, "InvalidArgument")
          assert.include(full.message, "at most 64 can be exposed")
        })
      )
    )
  )

  it.live("T-35 one port that is exposed twenty times at once has one listener", () =>
    daemon(
      Effect.gen(function* () {
        const { instances } = yield* started()
        const all = yield* Effect.all(
          Array.from({ length: 20 }, () => instances.expose(web, http(80), cause)),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(new Set(all.map(({ endpoints }) => endpoints[0]?.host)), 1)
        const gone = yield* Effect.all(
          Array.from({ length: 20 }, () => Effect.exit(instances.unexpose(web, 80, cause))),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(gone.filter(Exit.isSuccess), 1)
        assert.isFalse(yield* answers(all[0]?.endpoints[0]?.host ?? 0))
      })
    )
  )

  it.live("S-202 unexpose cuts the connections to that port, whichever way they came, and leaves the others", () =>
    daemon(
      Effect.scoped(
        Effect.gen(function* () {
          const { id, instances } = yield* started(http(80), http(81))
          const { tunnel: cut } = yield* instances.connect(id, 80, cause)
          const { tunnel: other } = yield* instances.connect(id, 81, cause)
          const closed = once(cut, "close")
          yield* instances.unexpose(web, 80, cause)
          yield* Effect.promise(() => closed)
          other.write("still here")
          const [said] = yield* Effect.promise(() => once(other, "data"))
          assert.strictEqual(String(said), "still here")
          const refused = yield* Effect.flip(Effect.scoped(instances.connect(id, 80, cause)))
          assert.strictEqual(refused._tag, "NotExposed")
          assert.strictEqual((yield* instances.get(web)).connections, 2)
        })
      )
    )
  )

  it.live("D-14 what was exposed and unexposed holds for the next daemon, with its ports", () =>
    Effect.gen(function* () {
      const home = mkdtempSync(path.join(tmpdir(), "aegis-expose-"))
      const before = yield* daemon(
        Effect.gen(function* () {
          const { instances } = yield* started(http(80), http(81))
          yield* instances.expose(web, new Exposure({ port: 82, protocol: "tcp" }), cause)
          const { endpoints } = yield* instances.unexpose(web, 80, cause)
          return endpoints
        }),
        home
      )
      assert.deepStrictEqual(
        before.map(({ guest, protocol }) => `${guest}/${protocol}`),
        ["81/http", "82/tcp"]
      )
      yield* daemon(
        Effect.gen(function* () {
          const instances = yield* Instances
          assert.deepStrictEqual((yield* instances.get(web)).endpoints, before)
          for (const { host } of before) assert.isTrue(yield* answers(host))
          yield* instances.wake(web, cause)
          assert.deepStrictEqual((yield* instances.get(web)).endpoints, before)
          const [seen] = [...(yield* Stream.runCollect(Stream.take(instances.watch, 1)))]
          assert.deepStrictEqual(seen?.instance?.endpoints, before)
        }),
        home
      )
    })
  )

  const step = fc.record({
    what: fc.constantFrom(...(["expose", "unexpose", "pause", "resume", "stop", "wake"] as const)),
    port: fc.constantFrom(80, 81, 82),
    protocol: fc.constantFrom(...(["http", "tcp"] as const))
  })

  it.live(
    "S-070 S-202 after every sequence the record, the listeners and the events say the same as a model",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) =>
            daemon(
              Effect.gen(function* () {
                const { instances } = yield* started()
                const model = new Map<number, string>()
                const everBound = new Set<number>()
                for (const { port, protocol, what } of steps) {
                  if (what === "expose") {
                    const asked = yield* Effect.either(instances.expose(web, new Exposure({ port, protocol }), cause))
                    const clash = model.has(port) && model.get(port) !== protocol
                    assert.strictEqual(
                      Either.isLeft(asked) ? asked.left._tag : undefined,
                      clash ? "AlreadyExposed" : undefined
                    )
                    if (!clash) model.set(port, protocol)
                  } else if (what === "unexpose") {
                    const asked = yield* Effect.either(instances.unexpose(web, port, cause))
                    assert.strictEqual(Either.isRight(asked), model.delete(port))
                  } else if (what === "stop") yield* instances.stop(web, Duration.zero, cause)
                  else yield* Effect.ignore(instances[what](web, cause))
                  const { endpoints } = yield* instances.get(web)
                  assert.deepStrictEqual(
                    endpoints.map(({ guest, protocol }) => `${guest}/${protocol}`),
                    [...model].map(([guest, protocol]) => `${guest}/${protocol}`)
                  )
                  for (const { host } of endpoints) everBound.add(host)
                  const bound = new Set(endpoints.map(({ host }) => host))
                  for (const host of everBound) assert.strictEqual(yield* answers(host), bound.has(host), `${host}`)
                }
              })
            ).pipe(Logger.withMinimumLogLevel(LogLevel.Warning), Effect.runPromise)
          ),
          { numRuns: 15 }
        )
      ),
    60_000
  )
})
