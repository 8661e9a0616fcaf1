import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Check from "../src/Arguments.ts"

const passes = (check: Check.Checked) => Effect.map(Effect.either(check), Either.isRight)

describe("Arguments", () => {
  it.effect("T-30 vcpus 0, 256, -1 and 0.5 never reach a uint8", () =>
    Effect.gen(function* () {
      for (const vcpus of [0, 256, 257, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        const refused = yield* Effect.flip(Check.uint8("krun_set_vm_config", "vcpus", vcpus, 1))
        assert.strictEqual(refused.argument, "vcpus")
        assert.include(refused.message, `vcpus is ${vcpus}, expected a whole number from 1 to 255`)
      }
      assert.isTrue(yield* passes(Check.uint8("c", "vcpus", 1, 1)))
      assert.isTrue(yield* passes(Check.uint8("c", "vcpus", 255, 1)))
    })
  )

  it.prop(
    "a uint32 passes exactly when wrapping would not change it",
    [FastCheck.double({ noNaN: false })],
    ([value]) => {
      const passed = Effect.runSync(passes(Check.uint32("c", "a", value)))
      assert.strictEqual(passed, value >>> 0 === value)
    }
  )

  it.effect("T-224 a socket path of 108 bytes is refused, of 107 not; bytes are counted, not letters", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* passes(Check.socketPath("c", "path", "/".padEnd(107, "a"))))
      const refused = yield* Effect.flip(Check.socketPath("krun_add_vsock_port2", "path", "/".padEnd(108, "a")))
      assert.strictEqual(
        refused.message,
        "krun_add_vsock_port2: path is 108 bytes long, expected at most 107 bytes long"
      )
      assert.isFalse(yield* passes(Check.socketPath("c", "path", "/".padEnd(107, "ä"))))
    })
  )

  it.effect("T-224 a path of 4096 bytes is refused, of 4095 not", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* passes(Check.path("c", "path", "/".padEnd(4095, "a"))))
      assert.isFalse(yield* passes(Check.path("c", "path", "/".padEnd(4096, "a"))))
    })
  )

  it.effect("text that C would read otherwise is refused", () =>
    Effect.gen(function* () {
      for (const text of ["", "a\0b", "\0", "a\ud800"]) assert.isFalse(yield* passes(Check.text("c", "a", text, 100)))
      assert.isTrue(yield* passes(Check.text("c", "a", "ünïcödé 🦀", 100)))
    })
  )

  it.effect("a mac has six bytes, a descriptor is an int", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* passes(Check.mac("c", new Uint8Array(5))))
      assert.isTrue(yield* passes(Check.mac("c", new Uint8Array(6))))
      for (const fd of [-2, 0.5, 2 ** 31]) assert.isFalse(yield* passes(Check.descriptor("c", "fd", fd)))
      for (const fd of [-1, 0, 2 ** 31 - 1]) assert.isTrue(yield* passes(Check.descriptor("c", "fd", fd)))
    })
  )
})
