import { VmmFailure } from "@aegis/native-bridge/VmmRequest"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../../..")
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "aegis-vmm-"))
const program = path.join(folder, "aegis-vmm.cjs")

// The process as it is shipped: one bundle, koffi beside it.
beforeAll(() =>
  build({
    entryPoints: [path.join(root, "apps/aegis-vmm/src/main.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["koffi"]
  })
)
afterAll(() => fs.rmSync(folder, { recursive: true }))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs it to its end; input in pieces, as a slow parent would write it. */
const run = (...input: ReadonlyArray<string>) =>
  Effect.async<Ended>((resume) => {
    const child = spawn(process.execPath, [program], { env: { NODE_PATH: path.join(root, "node_modules") } })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (bytes: Buffer) => void (stdout += bytes.toString()))
    child.stderr.on("data", (bytes: Buffer) => void (stderr += bytes.toString()))
    child.stdin.on("error", () => undefined)
    child.once("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    for (const piece of input) child.stdin.write(piece)
    child.stdin.end()
  })

const failure = ({ code, stderr, stdout }: Ended) =>
  Effect.gen(function* () {
    assert.deepStrictEqual([code, stdout], [3, ""])
    const lines = stderr.trimEnd().split("\n")
    return (yield* Schema.decode(Schema.parseJson(VmmFailure))(lines.at(-1) ?? "")).error
  })

const line = (request: object) => `${JSON.stringify(request)}\n`
const missing = { libkrun: "/missing/libkrun.so", libkrunfw: "/missing/libkrunfw.so.5" }

describe("aegis-vmm", () => {
  it.effect("ends quietly when its input ends without a request", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run(), { code: 0, stdout: "", stderr: "" })
    })
  )

  it.effect("T-220 a missing library is one line with its path and a remedy, for every operation", () =>
    Effect.gen(function* () {
      const boot = {
        op: "boot",
        vcpus: 1,
        memoryMib: 64,
        rootDir: "/r",
        harness: "/h",
        disks: [],
        vsockPath: "/v",
        workspace: null,
        network: null,
        ...missing
      }
      for (const request of [
        { op: "check", ...missing },
        { op: "preload", ...missing },
        { op: "kernel", libkrunfw: missing.libkrunfw, out: path.join(folder, "vmlinux") },
        boot
      ]) {
        const error = yield* Effect.flatMap(run(line(request)), failure)
        assert.strictEqual(error._tag, "LibraryUnusable", request.op)
        assert.include(error.message, missing.libkrunfw)
        assert.include(error.remedy, "AEGIS_LIBKRUNFW")
      }
      assert.isFalse(fs.existsSync(path.join(folder, "vmlinux")))
    })
  )

  it.effect("T-30 a request that cannot be meant is refused by the name of its field", () =>
    Effect.gen(function* () {
      const refuse = (text: string) => Effect.flatMap(run(text), failure)
      assert.include((yield* refuse(line({ op: "boot", vcpus: 256 }))).message, "vcpus: ")
      assert.include((yield* refuse(line({ op: "check", ...missing, extra: 1 }))).message, "extra: is unexpected")
      assert.include((yield* refuse("no json\n")).message, "not valid JSON")
      assert.include((yield* refuse("\n")).message, "JSON")
      assert.include((yield* refuse("x".repeat(200_000))).message, "65536 bytes")
    })
  )

  it.effect("a request may come in pieces and without a newline", () =>
    Effect.gen(function* () {
      const text = JSON.stringify({ op: "check", ...missing })
      const error = yield* Effect.flatMap(run(...text), failure)
      assert.strictEqual(error._tag, "LibraryUnusable")
    })
  )
})
