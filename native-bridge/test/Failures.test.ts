import { assert, describe, it } from "@effect/vitest"
import { errnoName } from "../src/Errno.ts"
import * as Failures from "../src/Failures.ts"

describe("Failures", () => {
  it("T-222 error numbers have names, unknown ones keep their number", () => {
    for (const [errno, name] of [
      [2, "ENOENT"],
      [13, "EACCES"],
      [17, "EEXIST"],
      [22, "EINVAL"]
    ] as const) {
      assert.strictEqual(errnoName(errno), name)
    }
    assert.strictEqual(errnoName(4095), "errno 4095")
    if (process.platform === "linux") assert.strictEqual(errnoName(11), "EAGAIN")
  })

  it("T-222 a failed call says which call and which error, and what to do", () => {
    const failed = new Failures.KrunCallFailed({ call: "krun_add_vsock_port2", errno: 17, errnoName: errnoName(17) })
    assert.strictEqual(failed.message, "krun_add_vsock_port2 failed with EEXIST")
    assert.include(failed.remedy, "remove the socket file")
    const other = new Failures.KrunCallFailed({ call: "krun_add_disk2", errno: 2, errnoName: "ENOENT" })
    assert.include(other.remedy, "aegis doctor")
  })

  it("every failure carries a message and a remedy", () => {
    const all = [
      new Failures.KrunArgumentOutOfRange({ call: "c", argument: "a", value: "1", expected: "2" }),
      new Failures.LibraryUnusable({ library: "libkrun", path: "/p", reason: "gone", remedy: "bring it back" }),
      new Failures.SystemCallFailed({ call: "mmap", errno: 12, errnoName: "ENOMEM", remedy: "more memory" }),
      new Failures.FileUnusable({ path: "/f", reason: "gone", remedy: "bring it back" }),
      new Failures.KernelUnusable({ reason: "empty" })
    ]
    for (const failure of all) {
      assert.isAbove(failure.message.length, 5)
      assert.isAbove(failure.remedy.length, 5)
    }
  })
})
