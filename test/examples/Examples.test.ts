/**
 * docs/examples as their reader would test them: over simulated guests, on Effect's clock.
 */
import { Aegis, Exited, WorkspaceName } from "@aegis/client"
import { Runtime } from "@aegis/runtime"
import type { SimulatedPrograms } from "@aegis/vm"
import { assert, describe, it } from "@effect/vitest"
import * as HttpApp from "@effect/platform/HttpApp"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { agent, Model, type Step } from "../../docs/examples/agent-loop.ts"
import { sandboxService } from "../../docs/examples/sandbox-service.ts"

/** `python3 -c TEXT` and `say TEXT` print the text; `loop` never ends. */
const programs: SimulatedPrograms = ([name, ...words]) => {
  if (name === "loop") return Option.some(() => Effect.never)
  if (name !== "python3" && name !== "say") return Option.none()
  return Option.some(({ write }) => Effect.as(write("stdout", `${words.at(-1)}\n`), 0))
}

const runtime = Layer.unwrapScoped(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(path.join(tmpdir(), "aegis-examples-"))),
    (home) => Effect.sync(() => rmSync(home, { recursive: true, force: true }))
  ).pipe(Effect.map((home) => Runtime.layerSimulated({ home, programs })))
)

/** A model that has made up its mind. */
const scripted = (...steps: ReadonlyArray<Step>) =>
  Layer.succeed(Model, {
    next: (_, seen) =>
      Effect.succeed(steps[seen.length] ?? { _tag: "Answer", text: seen.map(({ output }) => output).join("") })
  })

const run = (...command: readonly [string, ...ReadonlyArray<string>]): Step => ({ _tag: "Run", command })

const workspace = WorkspaceName.make("task")
const budget = { steps: 2, time: "1 minute", output: 8 } as const

describe("the examples", () => {
  it.live("the service runs each request's program in a machine of its own", () =>
    Effect.gen(function* () {
      const app = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<Aegis>())(yield* sandboxService)
      const ask = (body: string) =>
        Effect.promise(() => app(new Request("http://localhost/python", { method: "POST", body })))
      const answer = yield* ask("print(6 * 7)")
      assert.strictEqual(answer.status, 200)
      const reason = new Exited({ code: 0 })
      assert.deepStrictEqual(yield* Effect.promise(() => answer.json()), {
        output: "print(6 * 7)\n",
        ended: { ...reason }
      })
      assert.strictEqual((yield* ask("x".repeat(70_000))).status, 413)
      assert.deepStrictEqual(yield* Effect.flatMap(Aegis, (aegis) => aegis.list), [])
    }).pipe(Effect.provide(runtime))
  )

  it.live("the agent runs what its model wants, and shows it the output", () =>
    Effect.gen(function* () {
      const model = scripted(run("say", "one"), run("say", "a long word"))
      assert.strictEqual(yield* Effect.provide(agent("a task", workspace, budget), model), "one\na long w")
      const greedy = scripted(run("say", "1"), run("say", "2"), run("say", "3"))
      const spent = yield* Effect.flip(Effect.provide(agent("a task", workspace, budget), greedy))
      assert.deepStrictEqual(
        spent._tag === "BudgetSpent" ? [spent.of, spent.seen.map(({ output }) => output)] : spent,
        ["steps", ["1\n", "2\n"]]
      )
    }).pipe(Effect.provide(runtime))
  )

  it.effect("the agent's machine is gone when its time is over", () =>
    Effect.gen(function* () {
      const aegis = yield* Aegis
      const working = yield* Effect.fork(
        Effect.flip(Effect.provide(agent("a task", workspace, budget), scripted(run("loop"))))
      )
      yield* breathe.pipe(
        Effect.zipRight(Effect.orDie(aegis.list)),
        Effect.repeat({ until: (instances) => instances[0]?.state === "running" })
      )
      yield* TestClock.adjust("1 minute")
      const spent = yield* Fiber.join(working)
      assert.strictEqual(spent._tag === "BudgetSpent" ? spent.of : spent._tag, "time")
      yield* breathe.pipe(
        Effect.zipRight(TestClock.adjust("1 second")),
        Effect.zipRight(Effect.orDie(aegis.list)),
        Effect.repeat({ until: (instances) => instances.length === 0 })
      )
    }).pipe(Effect.provide(runtime))
  )
})

/** Lets what waits for the disk and for sockets go on, which no clock drives. */
const breathe = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
