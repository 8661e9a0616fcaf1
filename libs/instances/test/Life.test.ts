import { InstanceId, InstanceSpec, StateConflict, Stopped } from "@aegis/domain"
import { AegisPaths } from "@aegis/host"
import { LogStore } from "@aegis/logs"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { begin } from "../src/Life.ts"
import { home } from "./runtime.ts"

const logs = LogStore.layer().pipe(
  Layer.provide(AegisPaths.layer("/nowhere")),
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_HOME", home]]))))
)

const grace = { commands: Duration.zero, reboot: Duration.zero }

describe("Life", () => {
  it.scoped.each([
    { how: "fails with a defect", fault: Effect.die("a bug") },
    { how: "is interrupted", fault: Effect.interrupt }
  ])("T-237 its end is written down although letting go of its VM $how", ({ fault }) =>
    Effect.gen(function* () {
      const ends: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const life = yield* begin({
        id: InstanceId.make("inst-1"),
        spec: new InstanceSpec({ command: ["sleep"] }),
        begin: () =>
          Effect.zipRight(
            Effect.addFinalizer(() => fault),
            Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
          ),
        started: () => Effect.void,
        output: () => Effect.void,
        end: ({ _tag }) => Effect.sync(() => void ends.push(_tag))
      })
      yield* Deferred.await(begun)
      yield* life.stop(grace, new Stopped())
      assert.deepStrictEqual(ends, ["Stopped"])
      assert.deepStrictEqual(yield* life.over, new Stopped())
    }).pipe(Effect.provide(logs))
  )

  it.scoped("T-237 who stops one that lets go of its VM already waits for it, and breaks nothing off", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const closing = yield* Deferred.make<void>()
      const gone = yield* Deferred.make<void>()
      const life = yield* begin({
        id: InstanceId.make("inst-2"),
        spec: new InstanceSpec({ command: ["sleep"] }),
        begin: () =>
          Effect.zipRight(
            Effect.addFinalizer(() =>
              Deferred.succeed(closing, undefined).pipe(
                Effect.zipRight(Effect.timeoutOption(Effect.interruptible(Deferred.await(gone)), "1 minute")),
                Effect.zipRight(Effect.sync(() => told.push("the VM is gone")))
              )
            ),
            new StateConflict({ target: "inst-2", state: "broken", remedy: "" })
          ),
        started: () => Effect.void,
        output: () => Effect.void,
        end: ({ _tag }) => Effect.sync(() => void told.push(_tag))
      })
      yield* Deferred.await(closing)
      const stopping = yield* Effect.fork(life.stop(grace, new Stopped()))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gone, undefined)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(told, ["the VM is gone", "Stopped"])
    }).pipe(Effect.provide(logs))
  )
})
