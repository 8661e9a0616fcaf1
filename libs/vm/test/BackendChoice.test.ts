import { BackendUnavailable, type BackendVerdict } from "@aegis/domain"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { BackendChoice, simulatedBackend, VerdictCache, type VmBackend } from "../src/index.ts"

const works = simulatedBackend({ programs: () => Option.none() })

const candidate = (name: VmBackend["name"], accelerator: VmBackend["accelerator"], more: Partial<VmBackend> = {}) => {
  const boots: Array<string> = []
  const backend: VmBackend = {
    ...works,
    ...more,
    name,
    accelerator,
    boot: (spec) =>
      Effect.zipRight(
        Effect.sync(() => boots.push(spec.id)),
        (more.boot ?? works.boot)(spec)
      )
  }
  return { backend, boots }
}

const silent: Partial<VmBackend> = { boot: () => Effect.never }
const absent: Partial<VmBackend> = {
  present: Effect.fail(
    new BackendUnavailable({ backend: "qemu", reason: "qemu is not installed", remedy: "install it" })
  )
}

const choose = (
  candidates: ReadonlyArray<{ readonly backend: VmBackend }>,
  setting = "auto",
  cache = VerdictCache.layerNone
) =>
  BackendChoice.layer(candidates.map(({ backend }) => backend)).pipe(
    Layer.provide(cache),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["AEGIS_BACKEND", setting]]))))
  )

const verdict = Effect.flatMap(BackendChoice, (choice) => choice.verdict)

describe("BackendChoice", () => {
  it.effect("the first that boots is chosen, and the others are not tried", () => {
    const first = candidate("libkrun", "kvm")
    const second = candidate("qemu", "tcg")
    return Effect.gen(function* () {
      const { attempts, chosen, forced } = yield* verdict
      assert.deepStrictEqual([chosen, forced, attempts.length], [{ backend: "libkrun", accelerator: "kvm" }, false, 1])
      assert.match(attempts[0]?.evidence ?? "", /^a guest answered in \d+ ms$/)
      assert.deepStrictEqual(second.boots, [])
    }).pipe(Effect.provide(choose([first, second])))
  })

  it.effect(
    "T-221 a hypervisor that opens and runs no guest is found out in 15 s, and not tried again under another name",
    () => {
      const kvm = candidate("libkrun", "kvm", silent)
      const sameKvm = candidate("qemu", "kvm")
      const emulated = candidate("qemu", "tcg")
      return Effect.gen(function* () {
        const fiber = yield* Effect.fork(verdict)
        yield* TestClock.adjust("15 seconds")
        const { attempts, chosen } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(chosen, { backend: "qemu", accelerator: "tcg" })
        assert.deepStrictEqual(
          attempts.map(({ works }) => works),
          [false, false, true]
        )
        assert.strictEqual(attempts[0]?.evidence, "a guest did not answer within 15 s")
        assert.include(attempts[1]?.evidence, "not tried")
        assert.deepStrictEqual(sameKvm.boots, [])
      }).pipe(Effect.provide(choose([kvm, sameKvm, emulated])))
    }
  )

  it.effect("a missing part says nothing about the accelerator: the next candidate is tried", () => {
    const missing = candidate("libkrun", "kvm", absent)
    const other = candidate("qemu", "kvm")
    return Effect.gen(function* () {
      const { attempts, chosen } = yield* verdict
      assert.deepStrictEqual(chosen, { backend: "qemu", accelerator: "kvm" })
      assert.deepInclude(attempts[0], { evidence: "qemu is not installed", remedy: "install it" })
    }).pipe(Effect.provide(choose([missing, other])))
  })

  it.effect("AEGIS_BACKEND names the only ones that are tried", () => {
    const first = candidate("libkrun", "kvm")
    const second = candidate("qemu", "tcg")
    return Effect.gen(function* () {
      const { chosen, forced } = yield* verdict
      assert.deepStrictEqual([chosen, forced, first.boots], [{ backend: "qemu", accelerator: "tcg" }, true, []])
    }).pipe(Effect.provide(choose([first, second], "qemu")))
  })

  it.effect("T-220 when nothing works the error names each reason and a remedy, and the next start looks again", () => {
    const one = candidate("qemu", "tcg", absent)
    return Effect.gen(function* () {
      const choice = yield* BackendChoice
      const error = yield* Effect.flip(choice.backend)
      assert.deepInclude(error, { reason: "qemu (tcg): qemu is not installed", remedy: "install it" })
      Object.assign(one.backend, { present: Effect.void })
      assert.strictEqual((yield* choice.backend).name, "qemu")
    }).pipe(Effect.provide(choose([one])))
  })

  it.effect("a verdict that was kept spares the probe; a failure is never kept", () => {
    const kept = new Map<string, BackendVerdict>()
    const cache = Layer.succeed(VerdictCache, {
      get: (key) => Effect.sync(() => Option.fromNullable(kept.get(key))),
      set: (key, value) => Effect.sync(() => void kept.set(key, value))
    })
    const one = candidate("qemu", "tcg")
    return Effect.gen(function* () {
      yield* Effect.provide(verdict, choose([candidate("qemu", "tcg", absent)], "auto", cache))
      assert.strictEqual(kept.size, 0)
      yield* Effect.provide(verdict, choose([one], "auto", cache))
      yield* Effect.provide(verdict, choose([one], "auto", cache))
      assert.lengthOf(one.boots, 1)
    })
  })
})
