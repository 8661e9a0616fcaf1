import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { decodeVmmRequest, encodeVmmRequest, maxRequestBytes } from "../src/VmmRequest.ts"

const boot = {
  op: "boot",
  vcpus: 1,
  memoryMib: 512,
  rootDir: "/product/guest/root",
  harness: "/product/guest/aegis-harness",
  disks: [{ id: "root", path: "/home/rootfs.ext4" }],
  vsockPath: "/run/channel.sock",
  workspace: { path: "/work", readOnly: false },
  network: { socket: "/run/net.sock", mac: "5a:94:ef:e4:0c:ee" },
  libkrun: "/product/lib/libkrun.so",
  libkrunfw: "libkrunfw.so.5"
} as const

const refused = (request: unknown) => Effect.flip(decodeVmmRequest(JSON.stringify(request)))

describe("VmmRequest", () => {
  it.effect("every operation goes through its line and back", () =>
    Effect.gen(function* () {
      for (const request of [
        boot,
        { ...boot, workspace: null, network: null, disks: [] },
        { op: "preload", libkrun: "libkrun.so.1", libkrunfw: "libkrunfw.so.5" },
        { op: "kernel", libkrunfw: "/l/libkrunfw.so.5", out: "/cache/vmlinux" },
        { op: "check", libkrun: "/l/libkrun.so", libkrunfw: "/l/libkrunfw.so.5" }
      ] as const) {
        const line = yield* encodeVmmRequest(request)
        assert.notInclude(line, "\n")
        assert.deepStrictEqual(yield* decodeVmmRequest(line), request)
      }
    })
  )

  it.effect("T-30 256 vcpus are refused, as are 0, 0.5 and text", () =>
    Effect.gen(function* () {
      for (const vcpus of [256, 0, 0.5, -1, "1", null]) yield* refused({ ...boot, vcpus })
      for (const memoryMib of [0, -1, 0.5, 2 ** 32]) yield* refused({ ...boot, memoryMib })
    })
  )

  it.effect("T-224 a socket path over 107 bytes is refused, one of 107 not", () =>
    Effect.gen(function* () {
      yield* decodeVmmRequest(JSON.stringify({ ...boot, vsockPath: "/".padEnd(107, "s") }))
      const error = yield* refused({ ...boot, vsockPath: "/".padEnd(108, "s") })
      assert.include(error.message, "108 bytes; at most 107 are possible")
      yield* refused({ ...boot, rootDir: "/".padEnd(4096, "r") })
    })
  )

  it.effect("relative, empty and NUL-carrying paths are refused", () =>
    Effect.gen(function* () {
      for (const bad of ["relative", "", "/a\0b", 7, null]) {
        for (const field of ["rootDir", "harness", "vsockPath"] as const) yield* refused({ ...boot, [field]: bad })
        yield* refused({ ...boot, workspace: { path: bad, readOnly: true } })
        yield* refused({ ...boot, disks: [{ id: "root", path: bad }] })
        yield* refused({ ...boot, network: { ...boot.network, socket: bad } })
      }
    })
  )

  it.effect("unknown fields are refused at every depth, unknown operations as well", () =>
    Effect.gen(function* () {
      yield* refused({ ...boot, env: { SECRET: "x" } })
      yield* refused({ ...boot, workspace: { path: "/w", readOnly: true, uid: 0 } })
      yield* refused({ ...boot, disks: [{ id: "root", path: "/d", writable: true }] })
      yield* refused({ ...boot, network: { ...boot.network, mac: "5A-94-EF-E4-0C-EE" } })
      yield* refused({ op: "shell" })
      yield* refused({})
      yield* refused([])
    })
  )

  it.effect("a disk's id and the number of disks are bounded", () =>
    Effect.gen(function* () {
      yield* refused({ ...boot, disks: [{ id: "a".repeat(21), path: "/d" }] })
      yield* refused({ ...boot, disks: Array.from({ length: 17 }, (_, index) => ({ id: `d${index}`, path: "/d" })) })
      const longest = { id: "a".repeat(20), path: "/".padEnd(3000, "d") }
      const line = yield* encodeVmmRequest({ ...boot, disks: Array.from({ length: 16 }, () => longest) })
      assert.isBelow(Buffer.byteLength(line), maxRequestBytes)
    })
  )
})
