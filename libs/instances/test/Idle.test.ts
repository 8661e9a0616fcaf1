import { ByCli, ByIdleTimer, Exposure, Handle, InstanceSpec, type InstanceState, KeepaliveRequest } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import { Journal, journalInMemory } from "@aegis/journal"
import type { SimulatedOptions } from "@aegis/vm"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { idleStep, isWork } from "../src/Idle.ts"
import { Instances } from "../src/index.ts"
import { home } from "./runtime.ts"
import { runtimeAt } from "./runtimeAt.ts"

const cause = new ByCli({ command: "test" })
const web = Handle.make("web")
const states: ReadonlyArray<InstanceState> = ["starting", "running", "paused", "stopped"]

const runtimeWith = (options: Partial<SimulatedOptions> = {}) =>
  runtimeAt({
    ...options,
    home,
    journal: journalInMemory,
    env: { AEGIS_IDLE_CHECK: "0.1", AEGIS_IDLE_PAUSE: "0.4", AEGIS_IDLE_STOP: "1.2" }
  })

const runtime = runtimeWith()

const started = Effect.gen(function* () {
  const instances = yield* Instances
  const spec = new InstanceSpec({ command: ["sleep"], handle: web, exposes: [new Exposure({ port: 80 })] })
  yield* instances.start(spec, cause)
  yield* instances.wake(web, cause)
  return instances
})

/** Succeeds when it has come to that state. */
const comesTo = (state: InstanceState) =>
  Effect.flatMap(Instances, (instances) => instances.get(web)).pipe(
    Effect.filterOrFail(
      (found) => found.state === state,
      (found) => new Error(`it is ${found.state}`)
    ),
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("10 seconds")))
  )

describe("what becomes of instances that nobody uses", () => {
  it("D-08 only one that runs is paused, and only that or one that idling paused is stopped, each after its time", () => {
    const pausers = [undefined, cause, new ByIdleTimer({ idleSeconds: 60 })]
    fc.assert(
      fc.property(
        fc.constantFrom(...states),
        fc.constantFrom(...pausers),
        fc.record({ pause: fc.nat(5), stop: fc.nat(5) }),
        fc.nat(6),
        (state, pausedBy, policy, idle) => {
          const step = idleStep({ state, pausedBy }, policy, idle)
          const mine = state === "running" || (state === "paused" && pausedBy?._tag === "IdleTimer")
          const stops = mine && policy.stop > 0 && idle >= policy.stop
          const pauses = state === "running" && policy.pause > 0 && idle >= policy.pause
          assert.strictEqual(step, stops ? "stop" : pauses ? "pause" : undefined)
        }
      )
    )
  })

  it("D-08 work is more than a twentieth of a processor's time, or more than 1 KiB a second through the network", () => {
    const work = [
      [250, 5120],
      [251, 0],
      [0, 5121]
    ].map(([cpuMs = 0, networkBytes = 0]) => isWork({ cpuMs, networkBytes }, 5000))
    assert.deepStrictEqual(work, [false, true, true])
  })

  it.live("D-08 one that idling has paused is stopped in its time", () =>
    Effect.gen(function* () {
      yield* started
      yield* comesTo("paused")
      const { ended } = yield* comesTo("stopped")
      assert.strictEqual(ended?._tag, "Idle")
    }).pipe(Effect.provide(runtime), Effect.scoped)
  )

  it.live("D-08 a guest that works, one whose network is busy, and one that has no time to say so, are not idle", () =>
    Effect.forEach(
      [
        Effect.map(Clock.currentTimeMillis, (cpuMs) => ({ cpuMs, networkBytes: 0 })),
        Effect.map(Clock.currentTimeMillis, (millis) => ({ cpuMs: 0, networkBytes: millis * 2 })),
        Effect.never
      ],
      (work) =>
        Effect.gen(function* () {
          const instances = yield* started
          yield* Effect.sleep("3 seconds")
          assert.strictEqual((yield* instances.get(web)).state, "running")
        }).pipe(Effect.provide(runtimeWith({ work })), Effect.scoped),
      { discard: true }
    )
  )

  it.live("D-08 one that a person has paused between two looks stays so", () =>
    Effect.gen(function* () {
      const instances = yield* started
      yield* comesTo("paused")
      yield* instances.resume(web, cause)
      yield* instances.pause(web, cause)
      yield* Effect.sleep("2 seconds")
      assert.strictEqual((yield* instances.get(web)).state, "paused")
    }).pipe(Effect.provide(runtime), Effect.scoped)
  )

  it.live(
    "U-057 one that is kept is not paused until the time is over or given back, and its end is written down",
    () =>
      Effect.gen(function* () {
        const instances = yield* started
        const { lastActiveAt, state } = yield* instances.keepAlive(web, new KeepaliveRequest({ seconds: 2 }), cause)
        assert.strictEqual(state, "running")
        yield* Effect.sleep("1.7 seconds")
        const kept = yield* instances.get(web)
        assert.strictEqual(kept.state, "running")
        assert.isTrue(DateTime.greaterThan(kept.lastActiveAt, lastActiveAt))
        const paused = yield* comesTo("paused")
        assert.isUndefined(paused.keepalive)
        // It wakes nothing, and holds back the stop as well.
        const asleep = yield* instances.keepAlive(web, new KeepaliveRequest({ seconds: 60, reason: "why" }), cause)
        assert.deepInclude(asleep, { state: "paused" })
        assert.strictEqual(asleep.keepalive?.reason, "why")
        yield* Effect.sleep("1.6 seconds")
        assert.strictEqual((yield* instances.get(web)).state, "paused")
        const back = yield* instances.keepAlive(web, new KeepaliveRequest({ seconds: 0 }), cause)
        assert.isUndefined(back.keepalive)
        const stopped = yield* comesTo("stopped")
        const events = yield* Stream.runCollect((yield* Journal).events({ instanceId: stopped.id }))
        assert.deepStrictEqual(
          [...events].flatMap(({ cause: { _tag: by }, data: { _tag } }) =>
            /^Keep/.test(_tag) ? [`${_tag} ${by}`] : []
          ),
          ["KeepaliveGiven Cli", "KeepaliveEnded Daemon", "KeepaliveGiven Cli", "KeepaliveEnded Cli"]
        )
        const refused = yield* Effect.flip(instances.keepAlive(web, new KeepaliveRequest({ seconds: 1 }), cause))
        assert.strictEqual(refused._tag, "StateConflict")
      }).pipe(Effect.provide(runtime), Effect.scoped)
  )
})
