import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import {
  Command,
  daemonSocket,
  Environment,
  Handle,
  InstanceSpec,
  MemoryMib,
  socketPath,
  VcpuCount,
  WorkspaceName
} from "../src/index.ts"

const refuses = <A, I>(schema: Schema.Schema<A, I>, value: unknown) =>
  assert.ok(Either.isLeft(Schema.decodeUnknownEither(schema)(value)), `${JSON.stringify(value)} was accepted`)
const accepts = <A, I>(schema: Schema.Schema<A, I>, value: unknown) =>
  Either.getOrThrow(Schema.decodeUnknownEither(schema)(value))

describe("what an instance is made of", () => {
  it.each(["..", ".", "a/b", "-x", "_x", "", "x".repeat(64), "é", "a b", "inst-1739893456789012345", "INST-1", "a\n"])(
    "T-9 the handle %j is refused",
    (text) => refuses(Handle, text)
  )

  it("D-16 a handle is stored in lower case; __proto__ and constructor are names like any other or refused, never keys", () => {
    assert.strictEqual(accepts(Handle, "Web.1"), "web.1")
    refuses(Handle, "__proto__")
    assert.strictEqual(accepts(Handle, "constructor"), "constructor")
  })

  it.each(["..", ".", "a/b", "-x", "", "x".repeat(65), "a\n", "run-inst-1"])(
    "T-133 the workspace name %j is refused",
    (text) => refuses(WorkspaceName, text)
  )

  it.each([0, -1, 63, 1.5, 2 ** 53, Number.NaN, "512", true, null])("T-29 memory %j is refused", (value) =>
    refuses(MemoryMib, value)
  )
  it.each([0, 9, 256, 0.5, -1, "1"])("T-30 cpus %j is refused", (value) => refuses(VcpuCount, value))
  it.each([[[]], [[""]], ["sh"], [[1]], [["a\0b"]], [["x".repeat(1024 * 1024)]]])(
    "T-31 a command is refused",
    (value) => refuses(Command, value)
  )
  it.each([{ "A=B": "1" }, { "": "x" }, ["A"], { A: "x\0" }, { A: 1 }])("T-32 the environment %j is refused", (value) =>
    refuses(Environment, value)
  )
  it("T-6 an empty value, one with = and one with a newline are kept", () => {
    assert.deepStrictEqual(accepts(Environment, { A: "", B: "x=y", C: "\n" }), { A: "", B: "x=y", C: "\n" })
  })

  it("D-19 defaults: 512 MiB, one processor, a temporary workspace, no standard input", () => {
    const spec = accepts(InstanceSpec, { command: ["true"] })
    assert.deepStrictEqual(
      [spec.memoryMib, spec.vcpus, spec.workspace._tag, spec.interactive],
      [512, 1, "Temporary", false]
    )
  })

  it("D-13 a socket's path stays under 100 bytes, is the same each time, and differs for two homes", () => {
    const place = { uid: 1000, runtimeDir: undefined }
    const long = (name: string) => `/home/${"x".repeat(120)}/${name}`
    assert.strictEqual(daemonSocket("/home/u/.aegis", place), "/home/u/.aegis/aegisd.sock")
    assert.isAtMost(Buffer.byteLength(daemonSocket(long("a"), place)), 100)
    assert.strictEqual(daemonSocket(long("a"), place), daemonSocket(long("a"), place))
    assert.notStrictEqual(daemonSocket(long("a"), place), daemonSocket(long("b"), place))
    assert.isAtMost(Buffer.byteLength(socketPath(long("a"), { uid: 1, runtimeDir: "/run/" + "y".repeat(90) })), 100)
  })
})
