/**
 * The runtime embedded in a program: over simulated guests and on Effect's clock, as its users test it.
 */
import {
  Aegis,
  asCommandLine,
  asMcpTool,
  asProgram,
  Created,
  type EventCause,
  InstanceSpec,
  Output,
  ownName,
  ProgramName
} from "@aegis/client"
import { Runtime } from "@aegis/runtime"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { programs } from "../../instances/test/scripts.ts"

const newHome = Effect.acquireRelease(
  Effect.sync(() => path.join(mkdtempSync(path.join(tmpdir(), "aegis-embedded-")), "home")),
  (home) => Effect.sync(() => rmSync(path.dirname(home), { recursive: true, force: true }))
)

const command = (...words: readonly [string, ...ReadonlyArray<string>]) => new InstanceSpec({ command: words })

describe("the runtime in another program", () => {
  it.scopedLive("answers the calls of the daemon, in a home that is its own and private", () =>
    Effect.gen(function* () {
      const home = yield* newHome
      yield* Effect.gen(function* () {
        const aegis = yield* Aegis
        const events = [...(yield* Stream.runCollect(aegis.run(command("echo", "embedded"))))]
        assert.deepStrictEqual(
          events.map(({ _tag }) => _tag),
          ["Created", "Started", "Output", "Ended"]
        )
        assert.instanceOf(events[0], Created)
        assert.strictEqual(events[2] instanceof Output ? Buffer.from(events[2].bytes).toString() : "", "embedded\n")

        const { instance } = yield* aegis.start(new InstanceSpec({ ...command("sleep"), handle: undefined }))
        assert.strictEqual((yield* aegis.get(instance.id)).id, instance.id)
        const missing = yield* Effect.flip(aegis.get("nobody"))
        assert.deepStrictEqual([missing._tag, missing.message], ["NotFound", `instance "nobody" not found`])
        assert.isAbove((yield* aegis.why(instance.id)).length, 0)
        assert.deepStrictEqual(yield* aegis.secretList, [])
        assert.isFalse(existsSync(path.join(home, "aegisd.sock")))
        assert.strictEqual(statSync(home).mode & 0o777, 0o700)

        const second = yield* Effect.flip(Effect.scoped(Effect.provide(Aegis, layer(home))))
        assert.strictEqual(second._tag, "LockHeld")
      }).pipe(Effect.provide(layer(home)))

      // Its scope is closed: what ran is stopped, its record stays, and the home can be taken again.
      const states = yield* Effect.flatMap(Aegis, (aegis) => aegis.list).pipe(Effect.provide(layer(home)))
      assert.deepStrictEqual(
        states.map(({ state }) => state),
        ["stopped"]
      )
    })
  )

  it.scopedLive(
    "writes down who asked: the tool of an agent, the command line, or a program, this one where nobody is named",
    () =>
      Effect.gen(function* () {
        const home = yield* newHome
        yield* Effect.gen(function* () {
          const aegis = yield* Aegis
          const { instance } = yield* asMcpTool("instance_start")(aegis.start(command("sleep")))
          yield* asMcpTool("run")(Stream.runDrain(aegis.run(command("echo", "1"))))
          yield* asProgram(ProgramName.make("other"))(aegis.pause(instance.id))
          yield* aegis.resume(instance.id)
          yield* asCommandLine(aegis.stop(instance.id, 0))
          yield* asMcpTool("instance_delete")(aegis.remove(instance.id))
          const events = [...(yield* Stream.runCollect(aegis.events({ follow: false })))]
          const who = (cause: EventCause) => {
            switch (cause._tag) {
              case "Mcp":
                return [cause.tool]
              case "Cli":
                return [`aegis ${cause.command}`]
              case "Program":
                return [`program ${cause.name}`]
              default:
                return []
            }
          }
          const causes = events.flatMap(({ cause, data: { _tag }, instanceId }) =>
            who(cause).map((name) => `${instanceId === instance.id ? "it" : "other"} ${_tag}: ${name}`)
          )
          assert.includeMembers(causes, [
            "it InstanceCreated: instance_start",
            "other InstanceCreated: run",
            "it InstancePaused: program other",
            `it InstanceResumed: program ${Option.getOrThrow(ownName())}`,
            "it StopRequested: aegis instance stop",
            "it InstanceDeleted: instance_delete"
          ])
          const [why = ""] = yield* aegis.why(instance.id)
          assert.match(why, / is no more: it was deleted by an MCP client \(tool instance_delete\)\.$/)
        }).pipe(Effect.provide(layer(home)))
      })
  )

  it.scoped("takes its time from Effect's clock", () =>
    Effect.gen(function* () {
      const home = yield* newHome
      const slow = Runtime.layerSimulated({ home, programs, bootTime: "20 seconds" })
      yield* Effect.gen(function* () {
        const aegis = yield* Aegis
        const run = yield* Effect.fork(Stream.runCollect(aegis.run(command("exit", "3"))))
        while (yield* isRunning(run)) {
          yield* TestClock.adjust(Duration.seconds(1))
          yield* Effect.yieldNow()
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        const started = [...(yield* Fiber.join(run))].find((event) => event._tag === "Started")
        assert.isAtLeast(started?._tag === "Started" ? started.bootMillis : 0, 20_000)
      }).pipe(Effect.provide(slow))
    })
  )

  it.effect("says what is missing where the product's folder is none", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(Aegis, Runtime.layer({ home: "/tmp/none", product: "/nowhere" })))
      assert.strictEqual(error._tag, "InvalidArgument")
    })
  )
})

const layer = (home: string) => Runtime.layerSimulated({ home, programs })

const isRunning = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) =>
  Effect.map(Fiber.poll(fiber), (exit) => exit._tag === "None")
