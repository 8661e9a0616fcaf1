import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { SystemCallFailed } from "../src/Failures.ts"
import type { Libc } from "../src/Libc.ts"
import { dropPrivileges, keptCapabilities, vmmCommand } from "../src/Privileges.ts"

/** A C library that notes what is asked of it. `lastCapability`: the last one this kernel knows. */
const recorder = (lastCapability: number, fails: (option: number) => number = () => 0) => {
  const calls: Array<string> = []
  const error = (call: string, errno: number) =>
    new SystemCallFailed({ call, errno, errnoName: `${errno}`, remedy: "" })
  const libc: Libc = {
    prctl: (option, ...args) => {
      const errno = option === 23 && (args[0] ?? 0) > lastCapability ? 22 : fails(option)
      if (option !== 23) calls.push(`prctl ${[option, ...args].join(" ")}`)
      return errno === 0 ? Effect.succeed(option === 23 ? 1 : 0) : error(`prctl(${option})`, errno)
    },
    capset: (permitted, effective) => Effect.sync(() => void calls.push(`capset ${permitted} ${effective}`)),
    setrlimit: (resource, limit) => Effect.sync(() => void calls.push(`setrlimit ${resource} ${limit}`)),
    pipe: Effect.dieMessage("not asked for"),
    waitReadable: () => Effect.dieMessage("not asked for"),
    pinFile: () => Effect.dieMessage("not asked for")
  }
  return { calls, libc }
}

const always = ["setrlimit 4 0", "prctl 38 1", "prctl 4 0"]

describe("Privileges", () => {
  it.effect("an ordinary user's VM gains nothing by exec, leaves no core and cannot be traced", () =>
    Effect.gen(function* () {
      const { calls, libc } = recorder(40)
      yield* dropPrivileges(libc, { root: false, workspace: true })
      assert.deepStrictEqual(calls, always)
    })
  )

  it.effect("root's VM without a workspace keeps no capability in any set", () =>
    Effect.gen(function* () {
      const { calls, libc } = recorder(40)
      yield* dropPrivileges(libc, { root: true, workspace: false })
      const dropped = Array.from({ length: 41 }, (_, bit) => `prctl 24 ${bit}`)
      assert.deepStrictEqual(calls, [...dropped, "prctl 47 4", "capset 0 0", ...always])
    })
  )

  it.effect("root's VM with a workspace keeps what virtio-fs needs and no more", () =>
    Effect.gen(function* () {
      const { calls, libc } = recorder(40)
      yield* dropPrivileges(libc, { root: true, workspace: true })
      const kept = keptCapabilities({ workspace: true })
      assert.strictEqual(kept, (1n << 27n) | 0b1101_1011n)
      assert.include(calls, `capset ${kept} ${kept}`)
      for (const bit of [0, 1, 3, 4, 6, 7, 27]) assert.notInclude(calls, `prctl 24 ${bit}`)
      for (const bit of [2, 5, 8, 12, 21, 40]) assert.include(calls, `prctl 24 ${bit}`)
    })
  )

  it.effect("a bounding set that a launcher has closed is no obstacle; any other failure ends it", () =>
    Effect.gen(function* () {
      const closed = recorder(40, (option) => (option === 24 ? 1 : 0))
      yield* dropPrivileges(closed.libc, { root: true, workspace: false })
      for (const option of [4, 38, 47]) {
        const failing = recorder(40, (asked) => (asked === option ? 1 : 0))
        const error = yield* Effect.flip(dropPrivileges(failing.libc, { root: true, workspace: false }))
        assert.strictEqual(error.call, `prctl(${option})`)
      }
    })
  )

  it("root's process is started through setpriv where that is installed", () => {
    const options = { node: "/n", script: "/s", root: true, setpriv: "/usr/bin/setpriv" }
    const { args, command } = vmmCommand(options)
    assert.strictEqual(command, "/usr/bin/setpriv")
    assert.strictEqual(args[0], "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+setgid,+setuid,+mknod")
    assert.deepStrictEqual(args.slice(-4), ["--", "/n", "--v8-pool-size=0", "/s"])
    const plain = { command: "/n", args: ["--v8-pool-size=0", "/s"] }
    assert.deepStrictEqual(vmmCommand({ ...options, root: false }), plain)
    assert.deepStrictEqual(vmmCommand({ ...options, setpriv: undefined }), plain)
  })
})
