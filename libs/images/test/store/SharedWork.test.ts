import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as SharedWork from "../../src/store/SharedWork.ts"

const setUp = Effect.gen(function* () {
  const shared = yield* SharedWork.make<number, string, string>()
  const begun = yield* Deferred.make<void>()
  const goOn = yield* Deferred.make<void>()
  const state = { runs: 0, interrupted: 0 }
  const work = (result: Effect.Effect<string, string>) => (report: (progress: number) => void) =>
    Effect.gen(function* () {
      state.runs++
      report(state.runs)
      yield* Deferred.succeed(begun, undefined)
      yield* Deferred.await(goOn)
      return yield* result
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => state.interrupted++)))
  const run = (result: Effect.Effect<string, string>, origin = "one", heard: Array<string> = []) =>
    shared.run({
      key: "key",
      origin,
      report: (progress, joined) => void heard.push(`${progress}${joined ? " joined" : ""}`),
      work: work(result)
    })
  return { begun, goOn, run, shared, state }
})

describe("SharedWork", () => {
  it.scoped("runs once for all, and tells a late comer where it stands", () =>
    Effect.gen(function* () {
      const { begun, goOn, run, state } = yield* setUp
      const heard: Array<string> = []
      const first = yield* Effect.fork(run(Effect.succeed("done"), "one", heard))
      yield* Deferred.await(begun)
      const second = yield* Effect.fork(run(Effect.succeed("never"), "two", heard))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(goOn, undefined)
      assert.deepStrictEqual(yield* Fiber.join(Fiber.zip(first, second)), ["done", "done"])
      assert.deepStrictEqual([state.runs, heard], [1, ["1", "1 joined"]])
    })
  )

  it.scoped("T-110 the first caller's interruption does not end it for the second; the last one's does", () =>
    Effect.gen(function* () {
      const { begun, run, shared, state } = yield* setUp
      const first = yield* Effect.fork(run(Effect.succeed("done")))
      yield* Deferred.await(begun)
      const second = yield* Effect.fork(run(Effect.succeed("done")))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      assert.strictEqual(state.interrupted, 0)
      assert.deepStrictEqual([...(yield* shared.underWay)], ["key"])
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual([state.runs, state.interrupted], [1, 1])
      assert.deepStrictEqual([...(yield* shared.underWay)], [])
    })
  )

  it.scoped("a failure is shared by callers of the same origin; another origin tries itself", () =>
    Effect.gen(function* () {
      const { begun, goOn, run, state } = yield* setUp
      const first = yield* Effect.fork(run(Effect.fail("denied")))
      yield* Deferred.await(begun)
      const same = yield* Effect.fork(run(Effect.succeed("never")))
      const other = yield* Effect.fork(run(Effect.succeed("done"), "two"))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(goOn, undefined)
      assert.deepStrictEqual(yield* Fiber.await(first), Exit.fail("denied"))
      assert.deepStrictEqual(yield* Fiber.await(same), Exit.fail("denied"))
      assert.strictEqual(yield* Fiber.join(other), "done")
      assert.strictEqual(state.runs, 2)
    })
  )

  it.scoped("who comes while it is being ended waits for its end and begins anew", () =>
    Effect.gen(function* () {
      const shared = yield* SharedWork.make<number, number, never>()
      const order: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const run = (work: Effect.Effect<number>) =>
        shared.run({ key: "key", origin: "", report: () => undefined, work: () => work })
      const slow = Deferred.succeed(begun, undefined).pipe(
        Effect.zipRight(Effect.never),
        Effect.onInterrupt(() =>
          Effect.zipRight(
            Deferred.await(ended),
            Effect.sync(() => order.push("ended"))
          )
        )
      )
      const first = yield* Effect.fork(run(slow))
      yield* Deferred.await(begun)
      const ending = yield* Effect.fork(Fiber.interrupt(first))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(run(Effect.sync(() => order.push("begun"))))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(second)
      yield* Fiber.join(ending)
      assert.deepStrictEqual(order, ["ended", "begun"])
    })
  )
})
